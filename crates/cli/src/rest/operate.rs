//! Operations on a device: one call of the public API each.
//!
//! The definitions of objects are passed over (`force`), because Leshan does not look at them: the device judges. A
//! write with `format` is sent as a raw request in exactly that format; the API itself chooses the format by what the
//! device announced.

use std::time::Duration;

use lwm2m::{ContentFormat, Entry, Method, Path};
use proto::convert::public;
use proto::drover::v1::{
    CreateInstanceRequest, DeleteInstanceRequest, Delivery, DiscoverRequest, ExecuteRequest,
    Operation, OperationResponse, PathValue, ReadCompositeRequest, ReadRequest, SendRawRequest,
    WriteAttributesRequest, WriteCompositeRequest, WriteRequest, write_request,
};
use serde_json::{Map, Value as JsonValue, json};
use tonic::{Request, Response, Status};

use super::answer::Answer;
use super::node::Values;
use super::refusal::Refusal;
use crate::api::Api;

/// What the API may take beyond the deadline of an operation to tell how it ended.
const ANSWER_TIME: Duration = Duration::from_secs(3);

/// A device, and how long it may take.
pub(super) struct Caller<'a> {
    pub(super) api: &'a Api,
    pub(super) endpoint: &'a str,
    pub(super) timeout: Duration,
}

type Outcome = Result<Answer, Refusal>;

impl Caller<'_> {
    pub(super) async fn read(&self, path: Path, accept: Option<ContentFormat>) -> Outcome {
        let message = ReadRequest {
            endpoint: self.endpoint.to_owned(),
            path: path.to_string(),
            accept: accept.map(number),
            force: true,
            ..ReadRequest::default()
        };
        match self.api.operations().read(self.request(message)).await {
            Ok(answer) => {
                let values = Values::read(answer.into_inner().values);
                Ok(Answer::content(values.node(path)))
            }
            Err(status) => Answer::refused(status),
        }
    }

    pub(super) async fn read_composite(
        &self,
        paths: &[Path],
        accept: Option<ContentFormat>,
    ) -> Outcome {
        let message = ReadCompositeRequest {
            endpoint: self.endpoint.to_owned(),
            paths: paths.iter().map(ToString::to_string).collect(),
            accept: accept.map(number),
        };
        let request = self.request(message);
        match self.api.operations().read_composite(request).await {
            Ok(answer) => {
                let values = Values::read(answer.into_inner().values);
                Ok(Answer::content(values.nodes(paths)))
            }
            Err(status) => Answer::refused(status),
        }
    }

    pub(super) async fn discover(&self, path: Path) -> Outcome {
        let message = DiscoverRequest {
            endpoint: self.endpoint.to_owned(),
            path: path.to_string(),
            ..DiscoverRequest::default()
        };
        let answer = match self.api.operations().discover(self.request(message)).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => return Answer::refused(status),
        };
        let links = answer.links.into_iter().map(|link| {
            let attributes = link.attributes.into_iter();
            let attributes: Map<String, JsonValue> = attributes
                .map(|attribute| (attribute.name, attribute.value.into()))
                .collect();
            json!({"url": link.path, "attributes": attributes})
        });
        Ok(Answer::links(links.collect()))
    }

    /// `replace`: whether what is not named is removed.
    pub(super) async fn write(
        &self,
        path: Path,
        replace: bool,
        format: Option<ContentFormat>,
        values: Vec<Entry>,
    ) -> Outcome {
        if let Some(format) = format {
            let method = if replace { Method::Put } else { Method::Post };
            return self.write_raw(method, path, path, format, &values).await;
        }
        let mode = if replace {
            write_request::Mode::Replace
        } else {
            write_request::Mode::Update
        };
        let message = WriteRequest {
            endpoint: self.endpoint.to_owned(),
            path: path.to_string(),
            mode: mode.into(),
            values: path_values(values),
            delivery: Some(self.delivery()),
            force: true,
            ..WriteRequest::default()
        };
        ended(self.api.operations().write(self.durable(message)).await)
    }

    pub(super) async fn write_composite(
        &self,
        format: Option<ContentFormat>,
        values: Vec<Entry>,
    ) -> Outcome {
        if let Some(format) = format {
            let (method, root) = (Method::IPatch, Path::Root);
            return self.write_raw(method, root, root, format, &values).await;
        }
        let message = WriteCompositeRequest {
            endpoint: self.endpoint.to_owned(),
            values: path_values(values),
            removals: Vec::new(),
            delivery: Some(self.delivery()),
            force: true,
        };
        let request = self.durable(message);
        ended(self.api.operations().write_composite(request).await)
    }

    pub(super) async fn create(
        &self,
        object: Path,
        instance: Option<u16>,
        format: Option<ContentFormat>,
        values: Vec<Entry>,
    ) -> Outcome {
        // Only values carry the id of an instance in a payload.
        if let Some(format) = format
            && !values.is_empty()
        {
            // LwM2M-Core 1.2 §6.3.4: without an id there is no instance in the payload.
            let base = match instance {
                Some(_) => object,
                None => object.child(0).unwrap_or(object),
            };
            let method = Method::Post;
            return self.write_raw(method, object, base, format, &values).await;
        }
        let message = CreateInstanceRequest {
            endpoint: self.endpoint.to_owned(),
            path: object.to_string(),
            instance: instance.map(u32::from),
            values: path_values(values),
            delivery: Some(self.delivery()),
            force: true,
        };
        let request = self.durable(message);
        ended(self.api.operations().create_instance(request).await)
    }

    pub(super) async fn execute(&self, path: Path, arguments: String) -> Outcome {
        let message = ExecuteRequest {
            endpoint: self.endpoint.to_owned(),
            path: path.to_string(),
            arguments,
            delivery: Some(self.delivery()),
            force: true,
            ..ExecuteRequest::default()
        };
        ended(self.api.operations().execute(self.durable(message)).await)
    }

    pub(super) async fn delete(&self, path: Path) -> Outcome {
        let message = DeleteInstanceRequest {
            endpoint: self.endpoint.to_owned(),
            path: path.to_string(),
            delivery: Some(self.delivery()),
            force: true,
        };
        let request = self.durable(message);
        ended(self.api.operations().delete_instance(request).await)
    }

    pub(super) async fn write_attributes(&self, path: Path, attributes: String) -> Outcome {
        let message = WriteAttributesRequest {
            endpoint: self.endpoint.to_owned(),
            path: path.to_string(),
            attributes,
            delivery: Some(self.delivery()),
            ..WriteAttributesRequest::default()
        };
        let request = self.durable(message);
        ended(self.api.operations().write_attributes(request).await)
    }

    /// `base` is what the payload's names are relative to.
    async fn write_raw(
        &self,
        method: Method,
        path: Path,
        base: Path,
        format: ContentFormat,
        values: &[Entry],
    ) -> Outcome {
        let payload = lwm2m::encode(format, base, values).map_err(Refusal::invalid)?;
        let message = SendRawRequest {
            endpoint: self.endpoint.to_owned(),
            method: method.to_string(),
            target: path.to_string(),
            content_format: Some(number(format)),
            accept: None,
            payload,
            delivery: Some(self.delivery()),
        };
        let answer = self.api.operations().send_raw(self.durable(message)).await;
        let answer = match answer {
            Ok(answer) => answer.into_inner(),
            Err(status) => return Answer::refused(status),
        };
        let told = answer.answer.as_ref().and_then(Answer::of_raw);
        match told {
            Some(told) => Ok(told),
            None => Answer::of_operation(&answer.operation.unwrap_or_default()),
        }
    }

    /// The operation may wait for the device as long as the caller does.
    fn delivery(&self) -> Delivery {
        Delivery {
            deadline: prost_types::Duration::try_from(self.timeout).ok(),
            ..Delivery::default()
        }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        Api::request_within(self.timeout, message)
    }

    fn durable<T>(&self, message: T) -> Request<T> {
        Api::request_within(self.timeout.saturating_add(ANSWER_TIME), message)
    }
}

fn ended(answer: Result<Response<OperationResponse>, Status>) -> Outcome {
    match answer {
        Ok(answer) => {
            let operation: Operation = answer.into_inner().operation.unwrap_or_default();
            Answer::of_operation(&operation)
        }
        Err(status) => Answer::refused(status),
    }
}

fn number(format: ContentFormat) -> u32 {
    format.0.into()
}

fn path_values(entries: Vec<Entry>) -> Vec<PathValue> {
    let pairs = entries.into_iter().map(|entry| (entry.path, entry.value));
    public::path_values(pairs.collect())
}
