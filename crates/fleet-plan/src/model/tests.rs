#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use k8s_openapi::jiff::Timestamp;

use super::*;

/// What users are shown.
const EXAMPLE: &str = include_str!("../../../../examples/resources/object-model.yaml");
const PUMP: &str = include_str!("../../../../examples/pump.xml");

fn example() -> ObjectModel {
    let mut model: ObjectModel = serde_yaml_ng::from_str(EXAMPLE).unwrap();
    model.metadata.uid = Some("uid-1".to_owned());
    model.metadata.generation = Some(1);
    model
}

fn of_document(xml: &str) -> ObjectModel {
    let mut model = example();
    model.spec.definition.inline = None;
    model.spec.definition.xml = Some(xml.to_owned());
    model
}

fn planned(model: &ObjectModel, observed: &Observed) -> Plan {
    plan(model, observed, &Time(Timestamp::UNIX_EPOCH))
}

fn accepted(plan: &Plan) -> String {
    let accepted = &plan.status.conditions[0];
    crate::conditions::documented(ObjectModel::CONDITIONS, accepted);
    format!("{}/{}", accepted.status, accepted.reason)
}

fn held(definition: lwm2m::ObjectModel) -> Observed {
    Observed {
        stored: Some(definition),
        ..Observed::default()
    }
}

#[test]
fn each_field_of_the_example_is_carried_out() {
    let plan = planned(&example(), &Observed::default());
    assert_eq!(accepted(&plan), "True/Accepted");
    assert_eq!(plan.status.resources, Some(3));
    let put = plan.put.unwrap();
    assert_eq!((put.id, put.version.to_string().as_str()), (26_241, "1.0"));
    assert!(put.multiple);
    assert_eq!(
        put.description.as_deref(),
        Some("objectmodels.drover.dev/uid-1")
    );
    let pressure = put.resource(1).unwrap();
    assert_eq!(pressure.units.as_deref(), Some("Pa"));
    assert_eq!(pressure.value_type, Some(ValueType::Float));
    assert!(put.resource(0).unwrap().mandatory);
    assert!(put.resource(2).unwrap().operations.executable);

    // It is there: nothing is to be done.
    assert_eq!(maker(&put), Some("uid-1"));
    assert_eq!(planned(&example(), &held(put)).put, None);
}

#[test]
fn a_document_is_taken_with_what_it_says() {
    let mut model = of_document(PUMP);
    let defined = ddf::parse(PUMP).unwrap().remove(0);
    model.spec.object_id = i32::from(defined.id);
    model.spec.version = defined.version.to_string();
    let put = planned(&model, &Observed::default()).put.unwrap();
    assert_eq!(put.resources(), defined.resources());
    assert_eq!(maker(&put), Some("uid-1"));

    model.spec.version = "9.9".to_owned();
    let plan = planned(&model, &Observed::default());
    assert_eq!(accepted(&plan), "False/InvalidDefinition");
    let message = &plan.status.conditions[0].message;
    assert!(
        message.starts_with("spec.definition.xml: defines version"),
        "{message}"
    );
    let plan = planned(&of_document("<LWM2M>"), &Observed::default());
    assert_eq!(accepted(&plan), "False/InvalidDefinition");
}

#[test]
fn only_what_the_registry_does_not_have_is_added() {
    let mut model = example();
    model.spec.object_id = 3303;
    assert_eq!(
        accepted(&planned(&model, &Observed::default())),
        "False/NotNewer"
    );
    model.spec.object_id = 3;
    assert_eq!(
        accepted(&planned(&model, &Observed::default())),
        "False/Unsupported"
    );
}

#[test]
fn definitions_of_others_are_left_alone() {
    let mut of_another = example();
    of_another.metadata.uid = Some("uid-0".to_owned());
    let mut definition = planned(&of_another, &Observed::default()).put.unwrap();
    // The object that has made it is gone.
    assert!(planned(&example(), &held(definition.clone())).put.is_some());
    let observed = Observed {
        is_of_another: true,
        ..held(definition.clone())
    };
    let plan = planned(&example(), &observed);
    assert_eq!(accepted(&plan), "False/IdentityConflict");
    assert_eq!((plan.put, plan.pace), (None, Pace::Waiting));
    definition.description = Some("Moves water.".into());
    let plan = planned(&example(), &held(definition));
    assert_eq!(accepted(&plan), "False/IdentityConflict");
    assert_eq!(plan.put, None);
}
