//! What Argo CD and Flux would think of an object, by the files in `examples/gitops`: Argo CD runs the text in Lua, Flux
//! evaluates CEL over the object.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use cel::{Context, Program, Value as CelValue};
use serde_json::Value;

/// Where cargo starts a test.
const FOLDER: &str = "../examples/gitops";

/// Panics unless both see the object so.
pub(crate) fn expect(object: &Value, argo_cd: &str, flux: &str) {
    let kind = object["kind"].as_str().unwrap();
    assert_eq!(argo(object, kind), argo_cd, "{}", object["status"]);
    assert_eq!(seen_by_flux(object, kind), flux, "{}", object["status"]);
}

fn file(name: &str) -> Value {
    let text = std::fs::read_to_string(format!("{FOLDER}/{name}")).unwrap();
    serde_yaml_ng::from_str(&text).unwrap()
}

fn argo(object: &Value, kind: &str) -> String {
    let entries = file("argocd-health.yaml");
    let check = &entries["data"][format!("resource.customizations.health.drover.dev_{kind}")];
    let check = check
        .as_str()
        .unwrap_or_else(|| panic!("no health of {kind}"));
    let mut literal = String::new();
    lua(object, &mut literal);
    let script = format!(
        "local obj = {literal}\nlocal function check()\n{check}\nend\nprint(check().status)\n"
    );
    let mut interpreter = Command::new("lua5.4")
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = interpreter.stdin.take().unwrap();
    input.write_all(script.as_bytes()).unwrap();
    drop(input);
    let output = interpreter.wait_with_output().unwrap();
    assert!(output.status.success(), "{script}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A value as Lua has it.
fn lua(value: &Value, text: &mut String) {
    match value {
        Value::Null => text.push_str("nil"),
        Value::Bool(_) | Value::Number(_) => write!(text, "{value}").unwrap(),
        Value::String(string) => quoted(string, text),
        Value::Array(items) => {
            text.push('{');
            for item in items {
                lua(item, text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Object(fields) => {
            text.push('{');
            for (name, field) in fields {
                text.push('[');
                quoted(name, text);
                text.push_str("]=");
                lua(field, text);
                text.push(',');
            }
            text.push('}');
        }
    }
}

fn quoted(string: &str, text: &mut String) {
    text.push('"');
    for byte in string.bytes() {
        write!(text, "\\{byte:03}").unwrap();
    }
    text.push('"');
}

/// Flux looks for failed first; what cannot be evaluated is in progress.
fn seen_by_flux(object: &Value, kind: &str) -> &'static str {
    let kustomization = file("flux-health.yaml");
    let expressions = kustomization["spec"]["healthCheckExprs"]
        .as_array()
        .unwrap();
    let expressions = expressions.iter().find(|one| one["kind"] == kind);
    let expressions = expressions.unwrap_or_else(|| panic!("no expressions of {kind}"));
    let holds = |name: &str| {
        let program = Program::compile(expressions[name].as_str().unwrap()).unwrap();
        let mut context = Context::default();
        for (field, value) in object.as_object().unwrap() {
            context.add_variable(field.as_str(), value).unwrap();
        }
        matches!(program.execute(&context), Ok(CelValue::Bool(true)))
    };
    if holds("failed") {
        "failed"
    } else if holds("current") {
        "current"
    } else {
        "in progress"
    }
}
