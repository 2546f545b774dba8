use super::Table;

#[test]
fn a_bootstrap_profile() {
    Table {
        file: "bootstrap-profile.yaml",
        accepted: &[
            "{}",
            "{selector: null, acl: null}",
            "{servers: [{shortServerID: 1, uri: 'coap+tcp://[::1]:5683', binding: TQ}]}",
            "{servers: [{shortServerID: 1, uri: 'coap://h/', binding: UTQ}]}",
        ],
        refused: &[
            (
                "{servers: [{shortServerID: 1, uri: 'http://a'}]}",
                "uri must be coap://",
            ),
            (
                "{servers: [{shortServerID: 1, uri: 'coap://a', binding: S}]}",
                "binding must be of U and T",
            ),
            (
                "{servers: [{shortServerID: 2, uri: 'coap://a'}]}",
                "acl may name only servers of this profile",
            ),
            (
                "{acl: [{path: /3/0/1, access: [{shortServerID: 1, rights: [Read]}]}]}",
                "path must be /object or /object/instance",
            ),
            (
                "{selector: {matchExpressions: [{key: a, operator: In}]}}",
                "In and NotIn need values",
            ),
        ],
        changed: &["{deleteAll: true, priority: 3}"],
        fixed: &[],
    }
    .check();
}
