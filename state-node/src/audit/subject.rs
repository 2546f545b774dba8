//! What a change is about: names, paths and ids in its request, found by the names of the fields, so that a new service is
//! on record without doing anything for it. Values are never looked at.

use std::collections::HashMap;

use bytes::{Buf, Bytes};
use http_body_util::{BodyExt, Full, Limited};
use prost::Message as _;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost_types::FileDescriptorSet;
use prost_types::field_descriptor_proto::Type;
use serde::Serialize;
use tonic::body::Body;
use tonic::{Code, Status};

/// What a request with one message may have: what tonic takes, and the head of the frame.
const MAX_REQUEST: usize = (4 << 20) + FRAME_HEAD;
/// One byte of flags, four of length.
const FRAME_HEAD: usize = 5;
/// Longer texts are cut, and further paths are left out.
const MAX_TEXT: usize = 256;
const MAX_PATHS: usize = 32;
/// Messages in messages in requests.
const MAX_DEPTH: u8 = 3;

/// What a change is about, as far as its request says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Subject {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) endpoint: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) paths: Vec<String>,
    /// Of a gateway: the device behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    child: Option<String>,
    /// Of what is not a device, such as a bootstrap profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Of an operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request_id: Option<String>,
}

#[derive(Clone, Copy, Debug)]
enum Meaning {
    Endpoint,
    Path,
    Child,
    Name,
    Id,
    RequestId,
}

impl Meaning {
    fn of(field: &str) -> Option<Self> {
        Some(match field {
            "endpoint" => Self::Endpoint,
            "path" | "paths" => Self::Path,
            "child" => Self::Child,
            "name" | "address" | "checkpoint" | "digest" => Self::Name,
            "id" => Self::Id,
            "request_id" => Self::RequestId,
            _ => return None,
        })
    }
}

#[derive(Clone, Debug)]
enum Field {
    Text(Meaning),
    Message(String),
}

/// What the fields of all requests mean.
#[derive(Debug, Default)]
pub(super) struct Subjects {
    /// The request of each method that takes one message, by its path.
    requests: HashMap<String, String>,
    /// The answer of each method that takes a stream of messages and answers with one.
    answers: HashMap<String, String>,
    messages: HashMap<String, HashMap<u32, Field>>,
}

impl Subjects {
    pub(super) fn of(descriptors: &[u8]) -> Self {
        let files = FileDescriptorSet::decode(descriptors);
        let files = files
            .expect("the descriptors are those that the code was made from")
            .file;
        let mut subjects = Self::default();
        for file in &files {
            let package = file.package();
            for message in &file.message_type {
                let name = format!(".{package}.{}", message.name());
                let fields = message.field.iter().filter_map(|field| {
                    let number = u32::try_from(field.number()).ok()?;
                    let field = match field.r#type() {
                        Type::String => Field::Text(Meaning::of(field.name())?),
                        Type::Message => Field::Message(field.type_name().to_owned()),
                        _ => return None,
                    };
                    Some((number, field))
                });
                subjects.messages.insert(name, fields.collect());
            }
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{package}.{}/{}", service.name(), method.name());
                    if !method.client_streaming() {
                        let request = method.input_type().to_owned();
                        subjects.requests.insert(path, request);
                    } else if !method.server_streaming() {
                        let answer = method.output_type().to_owned();
                        subjects.answers.insert(path, answer);
                    }
                }
            }
        }
        subjects
    }

    /// Takes the request in, and gives it back as it was.
    pub(super) async fn read(&self, method: &str, body: Body) -> Result<(Subject, Body), Status> {
        // What comes in a stream may go on for long.
        if !self.requests.contains_key(method) {
            return Ok((Subject::default(), body));
        }
        let read = Limited::new(body, MAX_REQUEST).collect().await;
        let bytes = read
            .map_err(|_| Status::new(Code::OutOfRange, "the request is too large or broke off"))?
            .to_bytes();
        let subject = self.subject(self.requests.get(method), &bytes);
        Ok((subject, Body::new(Full::new(bytes))))
    }

    /// What a change whose request came in a stream is about, as its answer tells: the digest of a package that was stored.
    pub(super) fn told(&self, method: &str, answer: &Bytes) -> Option<Subject> {
        let message = self.answers.get(method)?;
        Some(self.subject(Some(message), answer))
    }

    /// What cannot be read says nothing: the service refuses it.
    fn subject(&self, message: Option<&String>, frame: &Bytes) -> Subject {
        let mut subject = Subject::default();
        // Compressed requests are not taken by the services, nor are answers compressed.
        if frame.first() == Some(&0)
            && let Some(bytes) = frame.get(FRAME_HEAD..)
            && let Some(message) = message
        {
            self.fill(&mut subject, message, bytes, MAX_DEPTH);
        }
        subject
    }

    fn fill(&self, subject: &mut Subject, message: &str, mut bytes: &[u8], depth: u8) {
        let Some(fields) = self.messages.get(message) else {
            return;
        };
        while bytes.has_remaining() {
            let Ok((number, kind)) = decode_key(&mut bytes) else {
                return;
            };
            if kind != WireType::LengthDelimited {
                if skip_field(kind, number, &mut bytes, DecodeContext::default()).is_err() {
                    return;
                }
                continue;
            }
            let length = decode_varint(&mut bytes).ok();
            let length = length.and_then(|length| usize::try_from(length).ok());
            let Some((content, rest)) = length.and_then(|at| bytes.split_at_checked(at)) else {
                return;
            };
            bytes = rest;
            match fields.get(&number) {
                Some(Field::Text(meaning)) => subject.note(*meaning, content),
                Some(Field::Message(name)) if depth > 0 => {
                    self.fill(subject, name, content, depth - 1);
                }
                _ => {}
            }
        }
    }
}

impl Subject {
    fn note(&mut self, meaning: Meaning, text: &[u8]) {
        if text.is_empty() {
            return;
        }
        let text = String::from_utf8_lossy(text);
        let text: String = text.chars().take(MAX_TEXT).collect();
        let place = match meaning {
            Meaning::Path => {
                if self.paths.len() < MAX_PATHS && !self.paths.contains(&text) {
                    self.paths.push(text);
                }
                return;
            }
            Meaning::Endpoint => &mut self.endpoint,
            Meaning::Child => &mut self.child,
            Meaning::Name => &mut self.name,
            Meaning::Id => &mut self.id,
            Meaning::RequestId => &mut self.request_id,
        };
        // The first is that of the request itself.
        place.get_or_insert(text);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proto::drover::v1 as public;

    use super::*;

    fn frame(message: &impl prost::Message) -> Bytes {
        let message = message.encode_to_vec();
        let mut frame = vec![0];
        frame.extend((message.len() as u32).to_be_bytes());
        frame.extend(message);
        frame.into()
    }

    fn about(subjects: &Subjects, method: &str, request: &impl prost::Message) -> Subject {
        subjects.subject(subjects.requests.get(method), &frame(request))
    }

    #[test]
    fn what_came_in_a_stream_is_known_by_its_answer() {
        let subjects = Subjects::of(proto::drover::FILE_DESCRIPTOR_SET);
        let stored = public::Artefact {
            digest: "sha256:ab".to_owned(),
            title: "meters.bin".to_owned(),
            ..Default::default()
        };
        let told = subjects.told("/drover.v1.Artefacts/PutArtefact", &frame(&stored));
        let line = serde_json::to_value(told).unwrap_or_default();
        assert_eq!(line, serde_json::json!({"name": "sha256:ab"}));
        let other = subjects.told("/drover.v1.Artefacts/GetArtefact", &frame(&stored));
        assert_eq!(other, None);
    }

    #[test]
    fn a_write_is_on_record_without_its_values() {
        let subjects = Subjects::of(proto::drover::FILE_DESCRIPTOR_SET);
        let value = |path: &str| public::PathValue {
            path: path.to_owned(),
            ..Default::default()
        };
        let request = public::WriteRequest {
            endpoint: "meter-1".to_owned(),
            path: "/3/0".to_owned(),
            text: "SECRET".to_owned(),
            values: vec![value("/3/0/14"), value("/3/0/15")],
            delivery: Some(public::Delivery {
                request_id: "r-1".to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let subject = about(&subjects, "/drover.v1.Operations/Write", &request);
        let line = serde_json::to_value(&subject).unwrap_or_default();
        let expected = serde_json::json!({
            "endpoint": "meter-1", "paths": ["/3/0", "/3/0/14", "/3/0/15"], "requestId": "r-1",
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn a_key_is_never_on_record() {
        let subjects = Subjects::of(proto::drover::FILE_DESCRIPTOR_SET);
        let key = public::PreSharedKey {
            identity: b"meter-1".to_vec(),
            key: b"SECRETSECRET".to_vec(),
        };
        let request = public::PutCredentialRequest {
            endpoint: "meter-1".to_owned(),
            credential: Some(public::put_credential_request::Credential::PreSharedKey(
                key,
            )),
            ..public::PutCredentialRequest::default()
        };
        let subject = about(&subjects, "/drover.v1.Credentials/PutCredential", &request);
        assert_eq!(subject.endpoint.as_deref(), Some("meter-1"));
        assert!(!format!("{subject:?}").contains("SECRET"));
    }

    proptest! {
        #[test]
        fn no_request_is_read_with_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let subjects = Subjects::of(proto::drover::FILE_DESCRIPTOR_SET);
            let bytes = [&[0; 5], bytes.as_slice()].concat().into();
            for method in ["/drover.v1.Operations/Write", "/drover.v1.Bootstrap/PutBootstrapProfile", "/x/y"] {
                let subject = subjects.subject(subjects.requests.get(method), &bytes);
                prop_assert!(subject.paths.len() <= MAX_PATHS);
            }
        }
    }
}
