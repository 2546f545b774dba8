use super::Table;

#[test]
fn an_object_model() {
    Table {
        file: "object-model.yaml",
        accepted: &[
            "{}",
            "{definition: {inline: null, xml: '<LWM2M/>'}}",
            "{source: OMA, objectID: 3, version: '1.3'}",
        ],
        refused: &[
            ("{objectID: 3}", "objects 0 to 1023 are defined by the OMA alone"),
            ("{version: '1'}", "version must have two numbers"),
            ("{definition: {xml: '<LWM2M/>'}}", "exactly one of xml and inline"),
            ("{definition: {inline: null}}", "exactly one of xml and inline"),
            ("{definition: {inline: {resources: [{id: 0, name: a, operations: Read}]}}}", "a resource has a type, unless"),
            ("{definition: {inline: {resources: [{id: 0, name: a, operations: Execute, type: String}]}}}", "a resource has a type, unless"),
        ],
        changed: &["{source: OMA}"],
        fixed: &[
            ("{objectID: 26242}", "objectID is immutable"),
            ("{version: '1.1'}", "version is immutable"),
        ],
    }
    .check();
}
