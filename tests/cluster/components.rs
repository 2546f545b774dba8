//! Campaigns for what is not the firmware of a device as a whole: a component of it, and a software.

use tests::{Drover, Options};

/// A device takes about ten seconds, most of which is its reboot; when a notification is lost, a minute more.
const PATIENCE: &str = "240s";

struct Campaigns {
    drover: Drover,
    device: String,
}

impl Campaigns {
    /// Brings a package to the device, and waits for the end of that.
    fn bring(
        &self,
        name: &str,
        object: &str,
        version: &str,
        further: &[&str],
    ) -> serde_json::Value {
        let file = self.drover.scratch().join(format!("{name}-{version}.bin"));
        std::fs::write(&file, format!("{name} {version}\n{}", "x".repeat(5_000))).unwrap();
        let file = file.to_str().unwrap();
        let create = [
            &["rollout", "create", name, "--object", object][..],
            &["--version", version, "--package", file],
            further,
        ];
        for arguments in [
            &create.concat()[..],
            &["rollout", "status", name, "--timeout", PATIENCE],
        ] {
            let answer = self.drover.run(arguments);
            assert_eq!(answer.code, 0, "{arguments:?}: {answer:?}");
        }
        let told = self.drover.json(&["rollout", "devices", name]);
        told["devices"][0].clone()
    }

    fn value(&self, path: &str) -> serde_json::Value {
        let read = self.drover.json(&["read", &self.device, path]);
        read["values"][0]["value"].clone()
    }
}

#[test]
fn a_component_and_two_versions_of_a_software_are_brought_to_a_device() {
    let drover = Drover::start(&Options {
        flags: vec!["--coap".to_owned()],
        ..Options::default()
    });
    let (_running, device) = drover.full_device("full-");
    let campaigns = Campaigns { drover, device };
    let wrong = ["rollout", "create", "wrong", "--object", "/5/1"];
    let wrong = [&wrong[..], &["--version", "1", "--uri", "coap://h/1"]].concat();
    let refused = campaigns.drover.run(&wrong);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(
        refused
            .stderr
            .contains("use /5/0, or an instance of /33629 or /9"),
        "{refused:?}"
    );

    let firmware = campaigns.value("/3/0/3");
    let told = campaigns.bring("modem", "/33629/0", "4.1.0", &[]);
    assert_eq!(told["phase"], "Succeeded", "{told}");
    assert_eq!(campaigns.value("/33629/0/15"), "4.1.0");
    assert_ne!(campaigns.value("/33629/1/15"), "4.1.0");
    assert_eq!(campaigns.value("/3/0/3"), firmware);

    let told = campaigns.bring("app", "/9/0", "7.1", &["--push"]);
    assert_eq!(told["phase"], "Succeeded", "{told}");
    assert_eq!(campaigns.value("/9/0/1"), "7.1");
    assert_eq!(campaigns.value("/9/0/12"), true);
    // The next version makes room first.
    let told = campaigns.bring("app-next", "/9/0", "7.2", &[]);
    assert_eq!(told["phase"], "Succeeded", "{told}");
    assert_eq!(told["versionBefore"], "7.1", "{told}");
    assert_eq!(campaigns.value("/9/0/1"), "7.2");
    assert_eq!(campaigns.value("/9/0/12"), true);

    let told = campaigns.bring("nowhere", "/9/5", "1.0", &[]);
    assert_eq!(told["phase"], "Skipped", "{told}");
    assert_eq!(
        told["reason"], "has not the object that the image is for",
        "{told}"
    );
}
