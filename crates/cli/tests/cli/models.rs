//! Objects of vendors: `drover models`, and names and types by what was added.

use crate::api::FakeApi;
use crate::run;
use proto::drover::v1::value::Kind;

const PUMP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/pump.xml");

#[tokio::test]
async fn an_object_is_added_listed_shown_and_removed() {
    let api = FakeApi::start().await;
    let (code, out, error) = run(&api, &["models", "add", PUMP]).await;
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("26241    1.0       Pump   6"), "{out}");
    let (_, out, _) = run(&api, &["models", "list", "-o", "json"]).await;
    let listed: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(listed["models"][0]["id"], 26_241);
    assert_eq!(listed["models"][0]["resources"], 6);
    let (_, out, _) = run(&api, &["models", "show", "26241", "-o", "json"]).await;
    let shown: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(shown["name"], "Pump");
    assert_eq!(shown["resources"][1]["type"], "Unsigned Integer");
    assert_eq!(shown["resources"][3]["operations"], "E");
    let (code, _, _) = run(&api, &["models", "remove", "26241"]).await;
    assert_eq!(code, 0);
    let (code, _, error) = run(&api, &["models", "show", "26241"]).await;
    assert_eq!(code, 2);
    assert!(error.contains("drover models add"), "{error}");
}

#[tokio::test]
async fn objects_of_the_oma_are_shown_without_being_added() {
    let api = FakeApi::start().await;
    let (code, out, _) = run(&api, &["models", "show", "3", "--version", "1.0"]).await;
    assert_eq!(code, 0);
    assert!(out.starts_with("3 Device version 1.0, one, "), "{out}");
    assert!(out.contains("Battery Level"), "{out}");
    let (code, _, error) = run(&api, &["models", "show", "3", "--version", "9.9"]).await;
    assert_eq!(code, 2);
    assert!(error.contains("known are 1.0"), "{error}");
}

#[tokio::test]
async fn a_broken_definition_is_told_with_its_place_and_nothing_is_added() {
    let api = FakeApi::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let pump = std::fs::read_to_string(PUMP).unwrap();
    let broken = path("broken.xml", &pump.replacen("Float", "Double", 1));
    let (code, _, error) = run(&api, &["models", "add", PUMP, &broken]).await;
    assert_eq!(code, 2);
    assert!(
        error.contains("broken.xml: line 19, column 9: <Type>"),
        "{error}"
    );
    let device = path("device.xml", &pump.replacen(">26241<", ">3<", 1));
    let (code, _, error) = run(&api, &["models", "add", &device]).await;
    assert_eq!(code, 2);
    assert!(error.contains("defined by the OMA alone"), "{error}");
    let (_, out, _) = run(&api, &["models", "list"]).await;
    assert!(!out.contains("26241"), "{out}");
}

#[tokio::test]
async fn values_of_an_added_object_are_typed_and_named() {
    let api = FakeApi::start().await;
    let write = ["write", "dev-1", "/26241/0", "1=300", "2=true"];
    let (code, _, error) = run(&api, &write).await;
    assert_eq!(code, 2);
    assert!(error.contains("drover models add"), "{error}");
    run(&api, &["models", "add", PUMP]).await;
    let (code, _, error) = run(&api, &write).await;
    assert_eq!(code, 0, "{error}");
    let values = api.last_write().values;
    let kinds: Vec<_> = values
        .into_iter()
        .map(|value| value.value.unwrap().kind)
        .collect();
    assert_eq!(
        kinds,
        [Some(Kind::Unsigned(300)), Some(Kind::Boolean(true))]
    );
}
