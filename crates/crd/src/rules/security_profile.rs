use super::Table;

#[test]
fn a_security_profile() {
    Table {
        file: "security-profile.yaml",
        accepted: &[
            "{}",
            "{mode: PSK, certificate: null, cipherSuites: null}",
            "{mode: PSK, certificate: null, cipherSuites: [TLS_PSK_WITH_AES_128_CCM_8, TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA256]}",
            "{mode: PSK, certificate: null, cipherSuites: null, credentialSource: Secret, credentialSecretRef: {name: pool}}",
            "{mode: OSCORE, certificate: null, cipherSuites: null}",
        ],
        refused: &[
            ("{certificate: null}", "certificate must be set with mode Certificate"),
            ("{mode: RawPublicKey}", "certificate must be set with mode Certificate"),
            ("{credentialSecretRef: {name: a}}", "credentialSecretRef must be set with credentialSource Secret"),
            ("{credentialSource: Secret}", "credentialSecretRef must be set with credentialSource Secret"),
            ("{credentialSource: Secret, credentialSecretRef: {name: a}}", "with mode Certificate the authority vouches"),
            ("{cipherSuites: [TLS_PSK_WITH_AES_128_CCM_8]}", "cipherSuites must suit the mode"),
            ("{mode: PSK, certificate: null}", "cipherSuites must suit the mode"),
            ("{mode: OSCORE, certificate: null}", "cipherSuites must suit the mode"),
        ],
        changed: &["{connectionID: Required, cipherSuites: null}"],
        fixed: &[("{mode: RawPublicKey, certificate: null}", "mode is immutable")],
    }
    .check();
}
