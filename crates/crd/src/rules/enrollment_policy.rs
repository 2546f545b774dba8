use super::Table;

#[test]
fn an_enrollment_policy() {
    Table {
        file: "enrollment-policy.yaml",
        accepted: &[
            "{}",
            "{match: {endpointNamePattern: null}}",
            "{match: {pskIdentityPrefix: null, certificateAuthorityRef: {kind: Secret, name: ca, key: a}}}",
            "{action: Deny, labels: null, securityProfileRef: null, limits: null}",
            "{action: Quarantine}",
            "{materialize: OnRegistration, maximumObjects: 10000}",
            "{materialize: Never}",
        ],
        refused: &[
            ("{match: {endpointNamePattern: null, pskIdentityPrefix: null}}", "match must say something"),
            ("{match: {certificateAuthorityRef: {kind: Secret, name: ca, key: a}}}", "a device has a certificate or a pre-shared key"),
            ("{match: {endpointNamePattern: 'urn:imei:.*'}}", "endpointNamePattern must begin with ^"),
            ("{match: {endpointNamePattern: '^urn:imei'}}", "endpointNamePattern must begin with ^"),
            ("{action: Deny, labels: null, securityProfileRef: null, limits: null, materialize: OnRegistration}", "materialize means nothing with action Deny"),
            ("{maximumObjects: 10}", "maximumObjects means nothing without materialize"),
            ("{action: Deny}", "labels, securityProfileRef and limits mean nothing"),
        ],
        changed: &["{materialize: OnRegistration}", "{priority: 5}", "{action: Quarantine}"],
        fixed: &[],
    }
    .check();
}
