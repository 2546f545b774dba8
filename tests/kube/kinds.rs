//! What is declared beside devices and firmware: groups, profiles, operations, servers and definitions, on a real API
//! server, an operator, and the state tier.

mod manifests;

use std::time::SystemTime;

use serde_json::Value;
use tests::{Operator, until, until_some};

use crate::rig::{Rig, SOON};

use manifests::{BOOTSTRAP, MODEL, SECURITY, group, operation, profile};

/// As 1970 began with them.
const DAYS: [&str; 7] = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
];

#[test]
fn what_is_declared_is_so_and_goes_with_its_object() {
    let rig = Rig::start(2);
    let operator = Operator::start(&rig.kubernetes, &rig.drover, "kinds");
    a_group_is_counted(&rig);
    a_group_of_people_is_left_alone(&rig);
    a_profile_is_brought_to_its_devices(&rig);
    a_definition_is_added(&rig);
    devices_are_told_of_servers(&rig);
    an_operation_is_done_once(&rig);
    an_operation_on_a_set_is_done_once_by_each(&rig);
    what_cannot_be_done_is_said(&rig);
    nothing_is_written_while_nothing_happens(&rig, &operator);
    what_is_deleted_is_taken_back(&rig);
    what_was_deleted_meanwhile_is_taken_back(&rig, operator);
}

/// The names in a list of the command line.
fn listed(rig: &Rig, command: &[&str], list: &str, name: &str) -> Vec<String> {
    let told = rig.drover.json(command);
    let told = told[list].as_array().cloned().unwrap_or_default();
    let text = |one: &Value| match &one[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    told.iter().map(text).collect()
}

fn groups(rig: &Rig) -> Vec<String> {
    listed(rig, &["groups", "list"], "groups", "name")
}

fn servers(rig: &Rig) -> Vec<String> {
    let names = listed(rig, &["bootstrap", "list"], "profiles", "name");
    let begin = |name: &String| name.split("-k8s-").next().unwrap_or_default().to_owned();
    names.iter().map(begin).collect()
}

fn definitions(rig: &Rig) -> Vec<String> {
    listed(rig, &["models", "list"], "models", "id")
}

fn a_group_is_counted(rig: &Rig) {
    rig.apply(&group("north", "selector: {matchLabels: {site: north}}"));
    let counted = rig.until("lwg/north", "Ready", "True", "Evaluated");
    assert_eq!(counted["status"]["devices"], 2);
    assert_eq!(counted["status"]["registered"], 2);
    let versions = &counted["status"]["firmwareVersions"];
    assert_eq!(versions[0]["devices"], 2, "{versions}");
    assert_eq!(groups(rig), ["north"]);
    let columns = rig.kubectl(&["get", "lwg", "north"]);
    assert!(columns.contains("Evaluated"), "{columns}");

    // One fewer.
    let device = &rig.drover.devices()[0];
    let labelled = rig
        .drover
        .run(&["label", device, "site=south", "--overwrite"]);
    assert_eq!(labelled.code, 0, "{labelled:?}");
    until_some("a group with one device", SOON, || {
        let devices = rig.object("lwg/north")["status"]["devices"].clone();
        if devices == 1 { Ok(()) } else { Err(devices) }
    });
    let labelled = rig
        .drover
        .run(&["label", device, "site=north", "--overwrite"]);
    assert_eq!(labelled.code, 0, "{labelled:?}");
}

fn a_group_of_people_is_left_alone(rig: &Rig) {
    let put = ["groups", "put", "by-hand", "-l", "site=north"];
    let put = rig.drover.run(&put);
    assert_eq!(put.code, 0, "{put:?}");
    rig.apply(&group("by-hand", "selector: {}"));
    let said = rig.until_refused("lwg/by-hand", "IdentityConflict");
    assert!(said.contains("drover groups remove by-hand"), "{said}");
    let told = rig.until_told("lwg/by-hand", "Warning", "IdentityConflict");
    assert!(told.contains("drover groups remove by-hand"), "{told}");
    rig.kubectl(&["delete", "lwg", "by-hand", "--timeout=10s"]);
    assert_eq!(groups(rig), ["by-hand", "north"]);
}

fn a_profile_is_brought_to_its_devices(rig: &Rig) {
    rig.apply(&profile("offset", "groupRef: {name: nobody}", "+05:00"));
    rig.until_refused("lwp/offset", "GroupNotFound");
    rig.until_told("lwp/offset", "Warning", "GroupNotFound");
    rig.apply(&profile("offset", "groupRef: {name: north}", "+05:00"));
    let written = rig.until("lwp/offset", "Ready", "True", "InSync");
    assert_eq!(written["status"]["counts"]["matched"], 2);
    rig.until_told("lwp/offset", "Normal", "InSync");
    for device in rig.drover.devices() {
        assert_eq!(rig.value(&device, "/3/0/14"), "+05:00");
    }
    rig.apply(&profile("offset", "groupRef: {name: north}", "+06:00"));
    for device in rig.drover.devices() {
        until_some("the changed value", SOON, || {
            let found = rig.value(&device, "/3/0/14");
            if found == "+06:00" {
                Ok(())
            } else {
                Err(found)
            }
        });
    }
    rig.until("lwp/offset", "Ready", "True", "InSync");
    a_change_of_it_takes_turns(rig);

    // Another profile that counts before it is told of.
    rig.apply(&profile(
        "above",
        "priority: 200\n  groupRef: {name: north}",
        "+07:00",
    ));
    let lost = rig.until("lwp/offset", "Degraded", "True", "Conflicts");
    assert_eq!(lost["status"]["conflictsWith"][0]["name"], "above");
    rig.kubectl(&["delete", "lwp", "above", "--timeout=10s"]);
    rig.until("lwp/offset", "Degraded", "False", "AsExpected");
    rig.until("lwp/offset", "Ready", "True", "InSync");
}

fn a_change_of_it_takes_turns(rig: &Rig) {
    let spec = |rollout: &str| format!("groupRef: {{name: north}}\n  rollout: {{{rollout}}}");
    let window = format!(
        "windows: [{{days: [{}], startTime: '12:00', endTime: '12:01', timeZone: UTC}}]",
        day_after_tomorrow()
    );
    rig.apply(&profile("offset", &spec(&window), "+08:00"));
    let held = rig.until("lwp/offset", "Progressing", "False", "OutsideWindow");
    assert_eq!(held["status"]["counts"]["waiting"], 2, "{held}");
    for device in rig.drover.devices() {
        assert_eq!(rig.value(&device, "/3/0/14"), "+06:00");
    }
    rig.apply(&profile("offset", &spec("maxConcurrent: 1"), "+08:00"));
    rig.until("lwp/offset", "Ready", "True", "InSync");
    for device in rig.drover.devices() {
        assert_eq!(rig.value(&device, "/3/0/14"), "+08:00");
    }
}

fn day_after_tomorrow() -> &'static str {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let days = now.expect("it is after 1970").as_secs() / 86_400;
    DAYS.iter()
        .cycle()
        .nth((days % 7 + 2) as usize)
        .expect("a cycle has no end")
}

fn a_definition_is_added(rig: &Rig) {
    rig.apply(MODEL);
    rig.until("lwom/pump", "Accepted", "True", "Accepted");
    assert_eq!(rig.object("lwom/pump")["status"]["resources"], 2);
    assert_eq!(definitions(rig), ["26241"]);
    rig.apply(&MODEL.replace("name: pump", "name: again"));
    rig.until_refused("lwom/again", "IdentityConflict");
    // It is in no namespace.
    rig.until_told("lwom/again", "Warning", "IdentityConflict");
    rig.kubectl(&["delete", "lwom", "again", "--timeout=10s"]);
}

fn devices_are_told_of_servers(rig: &Rig) {
    let servers_object = "bootstrapprofiles.drover.dev/servers";
    rig.apply(BOOTSTRAP);
    rig.until_refused(servers_object, "ProfileNotFound");
    rig.apply(SECURITY);
    rig.until(servers_object, "Ready", "True", "InForce");
    assert_eq!(servers(rig), ["servers"]);
}

fn an_operation_is_done_once(rig: &Rig) {
    let device = &rig.drover.devices()[0];
    let on = format!("endpointName: {device}");
    rig.apply(&operation("read", &on, "{type: Read, path: /3/0/14}"));
    let read = rig.until("lwop/read", "Succeeded", "True", "Complete");
    assert_eq!(read["status"]["results"][0]["value"], "+08:00");
    assert_eq!(read["status"]["counts"]["succeeded"], 1);
    let wait = [
        "wait",
        "--for=condition=Complete",
        "--timeout=30s",
        "lwop/read",
    ];
    rig.kubectl(&wait);

    let write = "{type: Write, values: [{path: /3/0/15, value: Europe/Berlin}]}";
    rig.apply(&operation("write", &on, write));
    let written = rig.until("lwop/write", "Succeeded", "True", "Complete");
    assert_eq!(written["status"]["results"][0]["coapCode"], "2.04");
    rig.until_told("lwop/write", "Normal", "Complete");
    assert_eq!(rig.value(device, "/3/0/15"), "Europe/Berlin");

    // What a device refuses has failed.
    rig.apply(&operation(
        "missing",
        &on,
        "{type: Read, path: /3303/77/5700}",
    ));
    rig.until("lwop/missing", "Failed", "True", "DevicesFailed");

    // One that nobody looks at any more goes.
    let short = format!("{on}\n  ttlSecondsAfterFinished: 1");
    rig.apply(&operation("short", &short, "{type: Discover, path: /3}"));
    until("the operation has gone", SOON, || {
        let found = rig.kubernetes.kubectl(&["get", "lwop/short"]);
        !found.status.success()
    });
}

fn an_operation_on_a_set_is_done_once_by_each(rig: &Rig) {
    let devices = rig.drover.devices();
    let north = "selector: {matchLabels: {site: north}}";
    let write = "{type: Write, values: [{path: /3/0/15, value: Europe/Paris}]}";
    rig.apply(&operation("write-all", north, write));
    let written = rig.until("lwop/write-all", "Succeeded", "True", "Complete");
    let counts = &written["status"]["counts"];
    assert_eq!(counts["total"], 2, "{counts}");
    assert_eq!(counts["succeeded"], 2, "{counts}");
    let progress = &written["status"]["progress"];
    assert_eq!(progress["filter"], "labels.site = \"north\"", "{progress}");
    for device in &devices {
        assert_eq!(rig.value(device, "/3/0/15"), "Europe/Paris");
    }

    // One after the other.
    let group = "groupRef: {name: north}\n  parallelism: 1";
    rig.apply(&operation("read-all", group, "{type: Read, path: /3/0/14}"));
    let read = rig.until("lwop/read-all", "Succeeded", "True", "Complete");
    let results = read["status"]["results"].as_array().unwrap();
    let mut asked: Vec<_> = results
        .iter()
        .map(|one| one["endpointName"].as_str().unwrap())
        .collect();
    asked.sort_unstable();
    let mut expected: Vec<_> = devices.iter().map(String::as_str).collect();
    expected.sort_unstable();
    assert_eq!(asked, expected);
    assert!(results.iter().all(|one| one["value"] == "+08:00"));

    // What devices refuse has failed, and which they are is told.
    let missing = "{type: Read, path: /3303/77/5700}";
    rig.apply(&operation("missing-all", north, missing));
    let failed = rig.until("lwop/missing-all", "Failed", "True", "DevicesFailed");
    let samples = failed["status"]["failureSamples"].as_array().unwrap();
    assert_eq!(samples.len(), 2, "{samples:?}");

    let nobody = "selector: {matchLabels: {site: nowhere}}";
    rig.apply(&operation("nobody", nobody, "{type: Read, path: /3}"));
    let nobody = rig.until("lwop/nobody", "Succeeded", "True", "Complete");
    assert_eq!(nobody["status"]["counts"]["total"], 0);

    let unknown = "groupRef: {name: nobody}";
    rig.apply(&operation("unknown", unknown, "{type: Read, path: /3}"));
    rig.until_refused("lwop/unknown", "GroupNotFound");
    rig.kubectl(&["delete", "lwop", "unknown", "--timeout=10s"]);
}

fn what_cannot_be_done_is_said(rig: &Rig) {
    let execute = "{type: Execute, path: /3/0/4}";
    for (manifest, object, begin) in [
        (
            profile("staged", "rollout: {maxConcurrent: 5}", "+00:00"),
            "lwp/staged",
            "spec.rollout: ",
        ),
        (
            operation(
                "twice",
                "selector: {}\n  executionGuarantee: AtLeastOnce",
                execute,
            ),
            "lwop/twice",
            "spec.executionGuarantee: AtLeastOnce",
        ),
        (
            BOOTSTRAP.replace("name: servers", "name: chosen").replace(
                "  servers:",
                "  selector: {matchLabels: {site: north}}\n  servers:",
            ),
            "bootstrapprofiles.drover.dev/chosen",
            "spec.selector: ",
        ),
    ] {
        rig.apply(&manifest);
        let said = rig.until_refused(object, "Unsupported");
        assert!(said.starts_with(begin), "{object}: {said}");
    }
    rig.apply(
        &MODEL
            .replace("name: pump", "name: old")
            .replace("26241", "3303"),
    );
    rig.until_refused("lwom/old", "NotNewer");
    assert_eq!(groups(rig), ["by-hand", "north"]);
    for object in [
        "lwp/staged",
        "lwop/twice",
        "bootstrapprofiles.drover.dev/chosen",
        "lwom/old",
    ] {
        rig.kubectl(&["delete", object, "--timeout=10s"]);
    }
}

fn nothing_is_written_while_nothing_happens(rig: &Rig, operator: &Operator) {
    let writes = || operator.metric("drover_operator_status_writes_total");
    let looked = || operator.metric("drover_operator_reconciliations_total");
    let versions = || {
        rig.kubectl(&[
            "get",
            "lwg,lwp,lwop,lwom,bootstrapprofiles.drover.dev",
            "-o",
            "jsonpath={.items[*].metadata.resourceVersion}",
        ])
    };
    // What the deletions have changed of others is still to be written.
    let before = looked();
    until("a look at everything", SOON, || looked() >= before + 30.0);
    let (quiet, settled, since) = (writes(), versions(), looked());
    until("another look", SOON, || looked() >= since + 30.0);
    assert!((writes() - quiet).abs() < f64::EPSILON, "{settled}");
    assert_eq!(versions(), settled);
}

fn what_is_deleted_is_taken_back(rig: &Rig) {
    rig.kubectl(&["delete", "lwp", "offset", "--timeout=10s"]);
    rig.kubectl(&["delete", "lwg", "north", "--timeout=10s"]);
    until_some("no group but that of people", SOON, || {
        let left = groups(rig);
        if left == ["by-hand"] {
            Ok(())
        } else {
            Err(left)
        }
    });
    // Devices keep what they have.
    let device = &rig.drover.devices()[0];
    assert_eq!(rig.value(device, "/3/0/14"), "+08:00");
}

fn what_was_deleted_meanwhile_is_taken_back(rig: &Rig, operator: Operator) {
    rig.apply(&group("later", "selector: {}"));
    rig.until("lwg/later", "Ready", "True", "Evaluated");
    drop(operator);
    for object in [
        "lwg/later",
        "lwom/pump",
        "bootstrapprofiles.drover.dev/servers",
    ] {
        rig.kubectl(&["delete", object, "--timeout=10s"]);
    }
    assert_eq!(groups(rig), ["by-hand", "later"]);
    assert_eq!(definitions(rig), ["26241"]);
    assert_eq!(servers(rig), ["servers"]);
    let _operator = Operator::start(&rig.kubernetes, &rig.drover, "kinds-again");
    until_some("nothing that is without its object", SOON, || {
        let left = (groups(rig), definitions(rig), servers(rig));
        if left.0 == ["by-hand"] && left.1.is_empty() && left.2.is_empty() {
            Ok(())
        } else {
            Err(format!("{left:?}"))
        }
    });
}
