use super::Table;

#[test]
fn a_device_group() {
    Table {
        file: "device-group.yaml",
        accepted: &[
            "{}",
            "{filter: null}",
            "{selector: null}",
            "{selector: {matchLabels: null, matchExpressions: null}, filter: null}",
            "{selector: {matchExpressions: [{key: ring, operator: Exists}]}}",
            "{selector: {matchExpressions: [{key: ring, operator: DoesNotExist, values: []}]}}",
        ],
        refused: &[
            (
                "{selector: null, filter: null}",
                "selector or filter must be set",
            ),
            (
                "{selector: {matchExpressions: [{key: a, operator: In}]}}",
                "In and NotIn need values",
            ),
            (
                "{selector: {matchExpressions: [{key: a, operator: NotIn, values: []}]}}",
                "In and NotIn need values",
            ),
            (
                "{selector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}}",
                "In and NotIn need values",
            ),
        ],
        changed: &["{filter: state = EXPIRED}", "{selector: null}"],
        fixed: &[],
    }
    .check();
}
