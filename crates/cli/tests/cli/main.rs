//! The program itself, against an API that answers from a script.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

mod api;
mod apply;
mod models;

use std::process::Output;

use proto::drover::v1::put_credential_request::Credential as NewSecret;
use tokio::process::Command;

use crate::api::FakeApi;

fn drover(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drover"));
    command
        .args(arguments)
        .env_remove("DROVER_API")
        .env_remove("DROVER_DIR")
        .env_remove("DROVER_INTERNAL");
    command
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .kill_on_drop(true);
    command
}

/// Exit code, standard output, standard error.
fn parts(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

async fn run(api: &FakeApi, arguments: &[&str]) -> (i32, String, String) {
    let mut command = drover(arguments);
    command.env("DROVER_API", api.address());
    parts(&command.output().await.unwrap())
}

#[tokio::test]
async fn devices_are_listed_over_all_pages() {
    let api = FakeApi::start().await;
    let (code, out, _) = run(&api, &["devices", "-o", "json"]).await;
    assert_eq!(code, 0);
    let listed: serde_json::Value = serde_json::from_str(&out).unwrap();
    let endpoints: Vec<&str> = listed["devices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|device| device["endpoint"].as_str().unwrap())
        .collect();
    assert_eq!(endpoints, ["dev-1", "dev-2"]);
    assert_eq!(listed["devices"][0]["state"], "Registered");
    let (code, out, _) = run(&api, &["devices"]).await;
    assert_eq!(code, 0);
    assert!(out.starts_with("ENDPOINT   STATE"), "{out}");
}

#[tokio::test]
async fn a_selector_is_sent_as_a_filter() {
    let api = FakeApi::start().await;
    let (code, _, _) = run(&api, &["devices", "-l", "a=b,!c", "--filter", "model=X1"]).await;
    assert_eq!(code, 0);
    let expected = r#"labels.a = "b" AND NOT labels:c AND (model=X1)"#;
    assert_eq!(api.filters(), [expected, expected], "on every page");
    let (code, _, err) = run(&api, &["devices", "-l", "a b"]).await;
    assert_eq!(code, 2);
    assert!(err.contains("is no condition on a label"), "{err}");
}

#[tokio::test]
async fn labels_are_set_and_removed_one_by_one() {
    let api = FakeApi::start().await;
    let arguments = [
        "label",
        "dev-1",
        "a=1",
        "x.y/b-",
        "--overwrite",
        "--dry-run",
    ];
    let (code, out, err) = run(&api, &arguments).await;
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.starts_with("KIND"), "{out}");
    let update = &api.updates()[0];
    assert!(update.validate_only);
    let device = update.device.as_ref().unwrap();
    assert_eq!(device.labels, [("a".to_owned(), "1".to_owned())].into());
    let mask = update.update_mask.as_ref().unwrap();
    assert_eq!(mask.paths, ["labels.`a`", "labels.`x.y/b`"]);
    let (code, _, err) = run(&api, &["delete-device", "dev-1"]).await;
    assert_eq!(code, 1);
    assert!(err.contains("STILL_REGISTERED"), "{err}");
}

#[tokio::test]
async fn a_read_gives_typed_values() {
    let api = FakeApi::start().await;
    let (code, out, _) = run(&api, &["read", "dev-1", "3/0/9", "-o", "json"]).await;
    assert_eq!(code, 0);
    let read: serde_json::Value = serde_json::from_str(&out).unwrap();
    let expected = serde_json::json!({
        "endpoint": "dev-1", "path": "/3/0/9", "values": [{"path": "/3/0/9", "type": "integer", "value": 88}],
    });
    assert_eq!(read, expected);
    let (_, yaml, _) = run(&api, &["read", "dev-1", "/3/0/9", "-o", "yaml"]).await;
    assert_eq!(
        yaml,
        "endpoint: dev-1\npath: /3/0/9\nvalues:\n- path: /3/0/9\n  type: integer\n  value: 88\n"
    );
}

#[tokio::test]
async fn what_is_desired_of_a_device_is_set_and_taken_back_path_by_path() {
    let api = FakeApi::start().await;
    let first = ["desired", "set", "dev-1", "/3/0/14=+02:00"];
    assert_eq!(run(&api, &first).await.0, 0);
    let more = [
        "desired",
        "set",
        "dev-1",
        "/3303/5=present",
        "/3303/5/5701=Cel",
        "/3303/6=absent",
    ];
    let (code, out, _) = run(&api, &more).await;
    assert_eq!(code, 0);
    insta::assert_snapshot!(out, @r"
    PATH           VALUE     STATE     PROFILE   CODE   DIAGNOSTIC
    /3/0/14        +02:00    Pending   -         -      -
    /3303/5        present   Pending   -         -      -
    /3303/5/5701   Cel       Pending   -         -      -
    /3303/6        absent    Pending   -         -      -
    ");
    let less = ["desired", "remove", "dev-1", "/3/0/14", "/3303/5/5701"];
    assert_eq!(run(&api, &less).await.0, 0);
    let (code, out, _) = run(&api, &["desired", "list", "dev-1", "-o", "json"]).await;
    assert_eq!(code, 0);
    let listed: serde_json::Value = serde_json::from_str(&out).unwrap();
    let resources = listed["resources"].as_array().unwrap().iter();
    let left: Vec<_> = resources
        .map(|one| {
            (
                one["path"].as_str().unwrap(),
                one["value"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(left, [("/3303/5", "present"), ("/3303/6", "absent")]);
    assert_eq!(listed["generation"], 3);
    let (code, _, err) = run(&api, &["desired", "set", "dev-1", "/3303/5=Cel"]).await;
    assert_eq!(code, 2);
    assert!(err.contains("say present or absent"), "{err}");
}

#[tokio::test]
async fn the_devices_behind_a_gateway_are_listed_and_asked() {
    let api = FakeApi::start().await;
    let (code, out, _) = run(&api, &["children", "gateway"]).await;
    assert_eq!(code, 0);
    insta::assert_snapshot!(out, @r"
    INSTANCE   ID     PREFIX   OBJECTS
    0          SN01   dev0     /3303/0 Temperature
    3          -      -        (the gateway does not name the device)
    ");
    let write = ["write", "gateway", "/3/0/14", "+02:00", "--child", "dev0"];
    run(&api, &write).await;
    assert_eq!(api.last_write().child, "dev0");
    let several = ["read", "gateway", "/3/0/9", "/3/0/0", "--child", "dev0"];
    let (code, _, err) = run(&api, &several).await;
    assert_eq!(code, 2);
    assert!(err.contains("one path at a time"), "{err}");
    let observe = [
        "observe",
        "gateway",
        "/3303/0/5700",
        "--child",
        "dev0",
        "--count",
        "1",
    ];
    let (code, out, _) = run(&api, &observe).await;
    assert_eq!((code, out.as_str()), (0, "-  /dev0/3303/0/5700  21.5\n"));
}

#[tokio::test]
async fn several_paths_are_one_composite_operation() {
    let api = FakeApi::start().await;
    let (code, out, _) = run(&api, &["read", "dev-1", "/3/0/9", "/3303/0/5700", "/4"]).await;
    assert_eq!(code, 0);
    insta::assert_snapshot!(out, @r"
    PATH           NAME            TYPE      VALUE
    /3/0/9         Battery Level   integer   88
    /3303/0/5700   Sensor Value    float     21.5
    ");
    let write = [
        "write-composite",
        "dev-1",
        "/1/0/1=600",
        "--remove",
        "/16/0/0/3",
    ];
    let (code, out, _) = run(&api, &write).await;
    assert_eq!(code, 0);
    assert!(
        out.starts_with("write-composite /1/0/1 /16/0/0/3: Delivered (2.04)"),
        "{out}"
    );
    let (code, _, err) = run(&api, &["write-composite", "dev-1"]).await;
    assert_eq!(code, 2);
    assert!(err.contains("give PATH=VALUE, or --remove PATH"), "{err}");
}

#[tokio::test]
async fn a_raw_request_shows_what_came_back() {
    let api = FakeApi::start().await;
    let raw = [
        "raw", "dev-1", "put", "/1/0/2", "--format", "text", "--text", "101",
    ];
    let (code, out, _) = run(&api, &raw).await;
    assert_eq!((code, out.as_str()), (0, "2.05 text\n101\n"));
    let raw = [
        "raw", "dev-1", "POST", "/1/0", "--format", "tlv", "--hex", "c10265", "-o", "json",
    ];
    let (code, out, _) = run(&api, &raw).await;
    assert_eq!(code, 0);
    let answer: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&answer["format"], &answer["payload"], &answer["text"]),
        (&"tlv".into(), &"c10265".into(), &serde_json::Value::Null)
    );
    let (code, _, err) = run(&api, &["raw", "dev-1", "PUT", "/1", "--hex", "c1026"]).await;
    assert_eq!(code, 2);
    assert!(err.contains("two hexadecimal digits"), "{err}");
}

#[tokio::test]
async fn a_device_that_is_not_registered_exits_with_4_and_advice() {
    let api = FakeApi::start().await;
    let (code, out, err) = run(&api, &["read", "gone", "/3/0/9"]).await;
    assert_eq!((code, out.as_str()), (4, ""));
    insta::assert_snapshot!(err, @r"
    error: cannot read /3/0/9 of gone: the device is not registered [FAILED_PRECONDITION, DEVICE_NOT_REGISTERED]
    hint: `drover devices` tells which devices are registered
    ");
}

#[tokio::test]
async fn what_does_not_exist_exits_with_3() {
    let api = FakeApi::start().await;
    let (code, _, err) = run(&api, &["read", "dev-1", "/3/0/99"]).await;
    assert_eq!(code, 3);
    assert!(err.contains("[NOT_FOUND, COAP_4_04]"), "{err}");
    let (code, _, _) = run(&api, &["device", "nobody"]).await;
    assert_eq!(code, 3);
}

#[tokio::test]
async fn a_write_is_typed_by_the_api_and_tells_how_it_ended() {
    let api = FakeApi::start().await;
    let (code, out, _) = run(&api, &["write", "dev-1", "/3/0/14", "+02:00"]).await;
    assert_eq!(
        (code, out.as_str()),
        (0, "write /3/0/14: Delivered (2.04), operation 3-17\n")
    );
    let written = api.last_write();
    assert_eq!((written.text.as_str(), written.values.len()), ("+02:00", 0));
    assert_eq!(written.delivery.unwrap().request_id.len(), 32);
}

#[tokio::test]
async fn several_resources_are_typed_by_their_definitions() {
    let api = FakeApi::start().await;
    let (code, _, err) = run(
        &api,
        &["write", "dev-1", "/1/0", "1=600", "6=true", "--replace"],
    )
    .await;
    assert_eq!(code, 0, "{err}");
    let written = api.last_write();
    let paths: Vec<&str> = written
        .values
        .iter()
        .map(|value| value.path.as_str())
        .collect();
    assert_eq!(paths, ["/1/0/1", "/1/0/6"]);
    assert_eq!(
        written.mode(),
        proto::drover::v1::write_request::Mode::Replace
    );
}

#[tokio::test]
async fn a_refused_write_exits_with_1_and_a_malformed_one_with_2() {
    let api = FakeApi::start().await;
    let (code, _, err) = run(&api, &["write", "dev-1", "/3/0/0", "Acme"]).await;
    assert_eq!(code, 1);
    insta::assert_snapshot!(
        err,
        @"error: write /3/0/0 of dev-1 was refused by the device: 4.05: read only (operation 3-17)"
    );
    let (code, _, err) = run(&api, &["write", "dev-1", "/1/0/1", "soon"]).await;
    assert_eq!(code, 2);
    insta::assert_snapshot!(err, @r"
    error: cannot write /1/0/1 of dev-1: the request is malformed [INVALID_ARGUMENT, INVALID_VALUE]
      text: not a valid integer
    ");
    let (code, _, err) = run(&api, &["write", "dev-1", "/1", "5"]).await;
    assert_eq!(code, 2);
    assert!(err.contains("hint: name a resource"), "{err}");
}

#[tokio::test]
async fn an_operation_that_waits_too_long_exits_with_4() {
    let api = FakeApi::start().await;
    let (code, _, err) = run(&api, &["exec", "dev-1", "/3/0/4", "--timeout", "1s"]).await;
    assert_eq!(code, 4);
    assert!(
        err.contains("was not delivered before its deadline"),
        "{err}"
    );
    assert!(
        err.contains("hint: the device did not take it in time"),
        "{err}"
    );
}

#[tokio::test]
async fn credentials_are_added_in_hex_and_never_shown() {
    let api = FakeApi::start().await;
    let add = [
        "credentials",
        "add",
        "--endpoint",
        "dev-1",
        "--psk-identity",
        "id-1",
        "--psk-key",
    ];
    let (code, out, _) = run(&api, &[&add[..], &["00ff"]].concat()).await;
    assert_eq!((code, out.as_str()), (0, ""));
    let put = api.last_credential();
    let Some(NewSecret::PreSharedKey(psk)) = put.credential else {
        panic!("not a pre-shared key");
    };
    assert_eq!((&*psk.identity, &*psk.key), (&b"id-1"[..], &[0, 255][..]));
    let (code, _, err) = run(&api, &[&add[..], &["00f-secret"]].concat()).await;
    assert_eq!(code, 2);
    assert!(!err.contains("secret"), "{err}");
    let (code, _, _) = run(&api, &["credentials", "remove"]).await;
    assert_eq!(code, 2);
}

#[tokio::test]
async fn a_file_of_credentials_is_stored_whole_or_not_at_all() {
    let api = FakeApi::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("devices.csv");
    let import = ["credentials", "import", file.to_str().unwrap()];
    std::fs::write(&file, "dev-1,id-1,00ff\ndev-2,id-2,secret\n").unwrap();
    let (code, _, err) = run(&api, &import).await;
    assert_eq!(code, 2);
    assert!(err.contains("line 2") && !err.contains("secret"), "{err}");
    assert_eq!(api.credential_count(), 0);

    std::fs::write(&file, "dev-1,id-1,00ff\ndev-2,id-2,aa\n").unwrap();
    let (code, out, _) = run(&api, &import).await;
    assert_eq!((code, out.as_str()), (0, "2 credentials stored\n"));
    assert_eq!(api.credential_count(), 2);
}

#[tokio::test]
async fn streams_are_one_json_object_a_line() {
    let api = FakeApi::start().await;
    let (code, out, err) = run(
        &api,
        &[
            "observe",
            "dev-1",
            "/3303/0/5700",
            "--count",
            "2",
            "-o",
            "json",
        ],
    )
    .await;
    assert_eq!(code, 0, "{err}");
    let values: Vec<serde_json::Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(values.len(), 2);
    assert_eq!(values[1]["values"][0]["value"], 22.5);
}

#[tokio::test]
async fn a_watch_goes_on_where_it_was_interrupted() {
    let api = FakeApi::start().await;
    let (code, out, err) = run(&api, &["watch", "--count", "2", "-o", "json"]).await;
    assert_eq!(code, 0, "{err}");
    let tokens: Vec<String> = out
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["resumeToken"].to_string()
        })
        .collect();
    assert_eq!(tokens, ["\"1\"", "\"2\""]);
    assert_eq!(api.resume_tokens(), ["", "1"]);
}

#[tokio::test]
async fn a_watch_keeps_its_place_in_a_file() {
    let api = FakeApi::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("seen.token");
    let file = file.to_str().unwrap();
    for _ in 0..2 {
        let (code, _, err) = run(&api, &["watch", "--count", "1", "--resume-file", file]).await;
        assert_eq!(code, 0, "{err}");
    }
    assert_eq!(api.resume_tokens(), ["", "1"]);
    assert_eq!(std::fs::read_to_string(file).unwrap(), "2\n");
}

#[tokio::test]
async fn an_api_that_is_not_there_exits_with_4_and_says_where() {
    let output = drover(&["devices", "--api", "127.0.0.1:1"])
        .output()
        .await
        .unwrap();
    let (code, _, err) = parts(&output);
    assert_eq!(code, 4);
    assert!(
        err.starts_with("error: cannot reach the API at 127.0.0.1:1: "),
        "{err}"
    );
    assert!(err.contains("`drover dev` starts a cluster here"), "{err}");
}

#[tokio::test]
async fn without_an_address_the_exit_code_is_2() {
    let dir = tempfile::tempdir().unwrap();
    let output = drover(&["devices", "--dir", dir.path().to_str().unwrap()])
        .output()
        .await
        .unwrap();
    let (code, _, err) = parts(&output);
    assert_eq!(code, 2);
    assert!(
        err.contains("endpoints.json") && err.contains("DROVER_API"),
        "{err}"
    );
}

#[tokio::test]
async fn the_address_is_found_in_endpoints_json() {
    let api = FakeApi::start().await;
    let dir = tempfile::tempdir().unwrap();
    let state = serde_json::json!([
        {"api": "127.0.0.1:1", "internal": "127.0.0.1:1", "admin": "127.0.0.1:1", "pid": 1},
        {"api": api.address(), "internal": "127.0.0.1:1", "admin": "127.0.0.1:1", "pid": 1},
    ]);
    let file = serde_json::json!({"ingress": [], "bootstrap": [], "state": state});
    std::fs::write(dir.path().join("endpoints.json"), file.to_string()).unwrap();
    let mut command = drover(&["devices", "-o", "json"]);
    command.env("DROVER_DIR", dir.path());
    let (code, _, err) = parts(&command.output().await.unwrap());
    assert_eq!(code, 0, "{err}");
}

#[tokio::test]
async fn a_program_ends_with_the_process_that_it_is_tied_to() {
    let own = std::process::id().to_string();
    let echo = drover(&["tether", &own, "/bin/sh", "-c", "echo $$ $0", "-x"])
        .output()
        .await
        .unwrap();
    let (code, out, err) = parts(&echo);
    assert_eq!(code, 0, "{err}");
    assert!(out.ends_with("-x\n"), "{out}");
    let orphan = drover(&["tether", "1", "/bin/sh", "-c", "true"])
        .output()
        .await
        .unwrap();
    assert_eq!(parts(&orphan).0, 1);
}

#[tokio::test]
async fn completions_name_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let output = drover(&["completions", shell]).output().await.unwrap();
        let (code, out, _) = parts(&output);
        assert_eq!(code, 0);
        assert!(
            out.contains("credentials") && out.contains("observe"),
            "{shell}"
        );
    }
}
