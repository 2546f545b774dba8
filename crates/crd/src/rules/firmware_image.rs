use super::Table;

#[test]
fn a_firmware_image() {
    Table {
        file: "firmware-image.yaml",
        accepted: &[
            "{}",
            "{source: {uri: 'coaps+tcp://firmware.example.com/m200/2.3.1.bin', fetchedBy: Devices}}",
            "{source: {uri: 'drover:sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef', fetchedBy: null}}",
            "{source: {uri: 'http://firmware.example.com/m200/2.3.1.bin'}}",
            "{source: {uri: null, objectRef: {bucket: firmware, key: m200.bin}}}",
            "{source: {uri: null, ociRef: {repository: r.example.com/m200, digest: 'sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'}}, signature: {type: Cosign, value: null}}",
            "{version: 2.4.0-rc.1+build.5}",
            "{version: '17', versionScheme: Opaque}",
            "{signature: null}",
            "{object: /9/0}",
            "{object: /33629/65534}",
        ],
        refused: &[
            ("{source: {objectRef: {bucket: firmware, key: m200.bin}}}", "exactly one of uri, ociRef and objectRef"),
            ("{source: {uri: null}}", "exactly one of uri, ociRef and objectRef"),
            ("{source: {uri: 'ftp://example.com/a'}}", "uri must begin with http://, https://"),
            ("{source: {uri: 'https://example.com'}}", "uri must begin with http://, https://"),
            ("{source: {uri: 'drover:sha256:0123'}}", "uri must begin with http://, https://"),
            ("{source: {uri: null, ociRef: {repository: r, digest: 'sha256:0'}}}", "ociRef.digest must be sha256:"),
            ("{source: {uri: 'coap://firmware.example.com/m200.bin'}}", "the cluster fetches from http and https only"),
            ("{source: {uri: null, objectRef: {bucket: firmware, key: m200.bin}, fetchedBy: Devices}}", "devices fetch from a uri only"),
            ("{object: /5/1}", "object must be /5/0"),
            ("{object: /33629}", "object must be /5/0"),
            ("{object: /9/01}", "object must be /5/0"),
            ("{version: '2.3'}", "version must be a semantic version"),
            ("{version: 2.03.1}", "version must be a semantic version"),
            ("{digest: 'md5:0123'}", "digest must be sha256:"),
            ("{signature: {type: Cosign, value: null}}", "a Cosign signature needs source.ociRef"),
            ("{signature: {value: null}}", "RawEd25519 needs value"),
            ("{signature: {type: Cosign}}", "RawEd25519 needs value"),
            ("{signature: {value: AAAA}}", "signature.value must be 64 bytes in Base64"),
        ],
        changed: &["{yanked: true}", "{description: withdrawn}", "{description: null}"],
        fixed: &[
            ("{source: {uri: 'https://elsewhere.example.com/a'}}", "source is immutable"),
            ("{credentialsSecretRef: {name: other}}", "credentialsSecretRef is immutable"),
            ("{credentialsSecretRef: null}", "an image cannot be changed"),
            ("{signature: null}", "an image cannot be changed"),
            ("{compatibility: null}", "an image cannot be changed"),
            ("{packageName: other}", "packageName is immutable"),
            ("{version: 2.3.2}", "version is immutable"),
            ("{object: /9/1}", "object is immutable"),
            ("{versionScheme: Opaque}", "versionScheme is immutable"),
            ("{sizeBytes: 1}", "sizeBytes is immutable"),
            ("{digest: 'sha256:1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'}", "digest is immutable"),
            ("{signature: {publicKeyRef: {name: other}}}", "signature is immutable"),
            ("{compatibility: {models: [m300]}}", "compatibility is immutable"),
        ],
    }
    .check();
}
