#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use prost_types::Timestamp;
use proto::drover::v1::campaign_device::Phase;
use proto::drover::v1::value::Kind;
use proto::drover::v1::{ObjectInstance, ReportedValue, Value};

use super::*;

fn registered() -> Device {
    Device {
        endpoint: "sim-0001".to_owned(),
        state: State::Registered.into(),
        registration_id: "aB3".to_owned(),
        lwm2m_version: "1.1".to_owned(),
        binding: "U".to_owned(),
        lifetime: Some(prost_types::Duration {
            seconds: 300,
            nanos: 0,
        }),
        registration_time: Some(Timestamp {
            seconds: 1_000,
            nanos: 0,
        }),
        last_update_time: Some(Timestamp {
            seconds: 1_060,
            nanos: 0,
        }),
        expire_time: Some(Timestamp {
            seconds: 1_360,
            nanos: 0,
        }),
        peer: "127.0.0.1:40000".to_owned(),
        transport: "DTLS".to_owned(),
        connection_id: "0102030405060708".to_owned(),
        quirks: vec!["no-composite".to_owned()],
        enrollment_policy: "meters".to_owned(),
        quarantined: false,
        bootstrap: None,
        objects: vec![
            ObjectInstance {
                object: 3,
                instance: Some(0),
                version: "1.1".to_owned(),
            },
            ObjectInstance {
                object: 5,
                instance: None,
                version: String::new(),
            },
        ],
        ingress_node: "00000000000000a1".to_owned(),
        values: vec![ReportedValue {
            path: "/3303/0/5700".to_owned(),
            value: Some(Value {
                kind: Some(Kind::Float(21.5)),
            }),
            time: Some(Timestamp {
                seconds: 1_050,
                nanos: 0,
            }),
            origin: "Notify".to_owned(),
            child: String::new(),
        }],
        child_values: vec![ReportedValue {
            path: "/3303/0/5700".to_owned(),
            value: Some(Value {
                kind: Some(Kind::Float(4.0)),
            }),
            time: Some(Timestamp {
                seconds: 1_055,
                nanos: 0,
            }),
            origin: "Notify".to_owned(),
            child: "dev0".to_owned(),
        }],
        desired: vec![DesiredResource {
            path: "/3/0/14".to_owned(),
            text: "+02:00".to_owned(),
            generation: 4,
            state: desired_resource::State::InSync.into(),
            ..DesiredResource::default()
        }],
        labels: [("site".to_owned(), "north".to_owned())].into(),
        annotations: BTreeMap::new(),
        etag: "00112233445566778899aabb".to_owned(),
        firmware_campaign: Some(FirmwareCampaign {
            campaign: "fw231".to_owned(),
            image: "m200-2.3.1".to_owned(),
            version: "2.3.1".to_owned(),
            phase: Phase::Failed.into(),
            reason: "out of memory".to_owned(),
            phase_time: Some(Timestamp {
                seconds: 1_040,
                nanos: 0,
            }),
        }),
    }
}

#[test]
fn devices_are_listed_like_kubectl_does() {
    let unknown = Device {
        endpoint: "meter-7".to_owned(),
        state: State::NotRegistered.into(),
        ..Device::default()
    };
    let view = DevicesView {
        devices: vec![registered().into(), unknown.into()],
    };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_100);
    insta::assert_snapshot!(view.table(Columns::Usual, now), @r"
    ENDPOINT   STATE           VERSION   BINDING   LIFETIME   TRANSPORT   PEER              LAST-UPDATE
    sim-0001   Registered      1.1       U         5m         DTLS        127.0.0.1:40000   40s
    meter-7    NotRegistered   -         -         -          -           -                 -
    ");
}

#[test]
fn the_json_of_devices_is_stable() {
    let view = DevicesView {
        devices: vec![registered().into()],
    };
    insta::assert_snapshot!(serde_json::to_string_pretty(&view).unwrap());
}

#[test]
fn a_device_is_described_in_full() {
    insta::assert_snapshot!(DeviceDetailView::from(registered()).text());
}
