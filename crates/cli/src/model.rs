//! Paths and values from the command line, typed by the object definitions.

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::time::SystemTime;

use lwm2m::value::ValueType;
use lwm2m::{ObjectModel, Path, Registry};
use proto::drover::v1::value::Kind;
use proto::drover::v1::{
    GetObjectModelRequest, ListObjectModelsRequest, ObjectLink, PathValue, Value,
};
use tonic::{Code, Status};

use crate::api::Api;
use crate::failure::Failure;

/// The definitions of this run of the program, if the API was asked for some: there is one command in a run.
static LEARNT: OnceLock<Registry> = OnceLock::new();

/// The definitions of objects that are known: the OMA's, and those that were [`learn`]t.
fn definitions() -> &'static Registry {
    LEARNT.get().unwrap_or_else(Registry::oma)
}

/// Asks the API for vendors' definitions of what the OMA registry does not know of `paths`. Without them there are no
/// names, and types have to be named: no reason to fail.
pub(crate) async fn learn<'p>(api: &Api, paths: impl IntoIterator<Item = &'p str>) {
    let unknown: BTreeSet<u16> = paths
        .into_iter()
        .filter_map(|path| path.parse().ok())
        .filter_map(unknown_object)
        .collect();
    if unknown.is_empty() {
        return;
    }
    let request = api.request(ListObjectModelsRequest {});
    let Ok(listed) = api.object_models().list_object_models(request).await else {
        return;
    };
    let listed = listed.into_inner().models.into_iter();
    let added: BTreeSet<u16> = listed
        .filter_map(|model| u16::try_from(model.id).ok())
        .filter(|id| unknown.contains(id))
        .collect();
    let mut models = Vec::new();
    for object in added {
        models.extend(versions(api, object).await.unwrap_or_default());
    }
    // A second command in one run would go on with what the first has learnt.
    let _known = LEARNT.set(Registry::oma().with(models));
}

fn unknown_object(path: Path) -> Option<u16> {
    let (oma, object) = (Registry::oma(), path.object_id()?);
    let is_known = match path.resource_id() {
        Some(_) => oma.resource(path).is_some(),
        None => oma.object(object, None).is_some(),
    };
    (!is_known).then_some(object)
}

/// The versions of an object that were added to the cluster, oldest first.
pub(crate) async fn versions(api: &Api, object: u16) -> Result<Vec<ObjectModel>, Status> {
    let id = u32::from(object);
    let request = api.request(GetObjectModelRequest { id });
    match api.object_models().get_object_model(request).await {
        Ok(answer) => answer
            .into_inner()
            .versions
            .into_iter()
            .map(|model| {
                ObjectModel::try_from(model).map_err(|error| Status::internal(error.to_string()))
            })
            .collect(),
        Err(status) if status.code() == Code::NotFound => Ok(Vec::new()),
        Err(status) => Err(status),
    }
}

/// Whether the resource at `path` can have several instances.
pub(crate) fn is_multiple(path: Path) -> bool {
    let resource = definitions().resource(path);
    resource.is_some_and(|resource| resource.multiple)
}

/// The type of the resource at `path`, if a definition tells it.
pub(crate) fn value_type(path: Path) -> Option<ValueType> {
    definitions().value_type(path)
}

/// Reads a path; the leading slash may be missing.
pub(crate) fn parse_path(text: &str) -> Result<Path, String> {
    let absolute = if text.starts_with('/') {
        text.to_owned()
    } else {
        format!("/{text}")
    };
    absolute.parse().map_err(|error| {
        format!("{error}; a path is /object/instance/resource, for example /3/0/0")
    })
}

/// A data type named on the command line, for resources without a known definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum TypeName {
    String,
    Integer,
    Unsigned,
    Float,
    Boolean,
    /// Base64
    Opaque,
    /// Seconds since 1970, or RFC 3339
    Time,
    /// OBJECT:INSTANCE
    ObjectLink,
    CoreLink,
}

impl From<TypeName> for ValueType {
    fn from(name: TypeName) -> Self {
        match name {
            TypeName::String => Self::String,
            TypeName::Integer => Self::Integer,
            TypeName::Unsigned => Self::Unsigned,
            TypeName::Float => Self::Float,
            TypeName::Boolean => Self::Boolean,
            TypeName::Opaque => Self::Opaque,
            TypeName::Time => Self::Time,
            TypeName::ObjectLink => Self::ObjectLink,
            TypeName::CoreLink => Self::CoreLink,
        }
    }
}

/// The name of a resource as the registry has it.
pub(crate) fn resource_name(path: &str) -> Option<&'static str> {
    let path: Path = path.parse().ok()?;
    let resource = definitions().resource(path)?;
    Some(&resource.name)
}

/// The name of an object as the registry has it.
pub(crate) fn object_name(path: &str) -> Option<&'static str> {
    let path: Path = path.parse().ok()?;
    let object = definitions().object(path.object_id()?, None)?;
    Some(&object.name)
}

/// `text` as the value of the resource at `path`, typed by `named` or else by the object's definition.
pub(crate) fn typed(path: Path, text: &str, named: Option<TypeName>) -> Result<PathValue, Failure> {
    let value_type = match named {
        Some(named) => named.into(),
        None => defined_type(path)?,
    };
    let value = parse(value_type, text).ok_or_else(|| {
        Failure::usage(
            format!("\"{text}\" is not a valid {value_type}, which {path} holds"),
            example(value_type),
        )
    })?;
    Ok(PathValue {
        path: path.to_string(),
        value: Some(value),
    })
}

fn defined_type(path: Path) -> Result<ValueType, Failure> {
    let Some(resource) = definitions().resource(path) else {
        return Err(Failure::usage(
            format!("no object definition has the resource {path}"),
            "name its data type with --type, for example --type integer, or add its definition with \
             `drover models add`",
        ));
    };
    resource.value_type.ok_or_else(|| {
        Failure::usage(
            format!("{path} ({}) holds no value", resource.name),
            "`drover exec` executes it",
        )
    })
}

fn parse(value_type: ValueType, text: &str) -> Option<Value> {
    if value_type == ValueType::Time
        && let Ok(time) = text.parse::<prost_types::Timestamp>()
    {
        return Some(Value {
            kind: Some(Kind::Time(time)),
        });
    }
    let kind = match lwm2m::Value::parse(value_type, text).ok()? {
        lwm2m::Value::String(text) => Kind::String(text),
        lwm2m::Value::Integer(number) => Kind::Integer(number),
        lwm2m::Value::Unsigned(number) => Kind::Unsigned(number),
        lwm2m::Value::Float(number) => Kind::Float(number),
        lwm2m::Value::Boolean(truth) => Kind::Boolean(truth),
        lwm2m::Value::Opaque(bytes) => Kind::Opaque(bytes),
        lwm2m::Value::Time(seconds) => Kind::Time(prost_types::Timestamp { seconds, nanos: 0 }),
        lwm2m::Value::ObjectLink { object, instance } => Kind::ObjectLink(ObjectLink {
            object: object.into(),
            instance: instance.into(),
        }),
        lwm2m::Value::CoreLink(text) => Kind::CoreLink(text),
    };
    Some(Value { kind: Some(kind) })
}

fn example(value_type: ValueType) -> &'static str {
    match value_type {
        ValueType::String => "any text",
        ValueType::Integer => "a whole number, for example -5",
        ValueType::Unsigned => "a whole number, for example 5",
        ValueType::Float => "a number, for example 21.5",
        ValueType::Boolean => "true or false",
        ValueType::Opaque => "Base64, for example AQID",
        ValueType::Time => "seconds since 1970 or RFC 3339, for example 2026-11-24T12:00:00Z",
        ValueType::ObjectLink => "OBJECT:INSTANCE, for example 3:0",
        ValueType::CoreLink => "links, for example </3/0>,</4/0>",
    }
}

/// Reads `ID=VALUE` or `/PATH=VALUE` below `base`.
pub(crate) fn assignment(
    base: Path,
    text: &str,
    named: Option<TypeName>,
) -> Result<PathValue, Failure> {
    let malformed = |why: String| {
        Failure::usage(
            format!("\"{text}\" is not a value below {base}: {why}"),
            format!("give ID=VALUE, for example `drover write EP {base} 0=VALUE`"),
        )
    };
    let (id, value) = text
        .split_once('=')
        .ok_or_else(|| malformed("there is no =".to_owned()))?;
    let path: Path = if id.starts_with('/') {
        id.parse()
            .map_err(|error: lwm2m::path::PathError| malformed(error.to_string()))?
    } else {
        format!("{}/{id}", base.to_string().trim_end_matches('/'))
            .parse()
            .map_err(|error: lwm2m::path::PathError| malformed(error.to_string()))?
    };
    if path == base || !path.starts_with(base) || path.resource_id().is_none() {
        return Err(malformed(format!("{path} is no resource below it")));
    }
    typed(path, value, named)
}

/// Content formats by the names that people use.
const FORMATS: [(&str, u32); 11] = [
    ("text", 0),
    ("link-format", 40),
    ("opaque", 42),
    ("cbor", 60),
    ("senml-json", 110),
    ("senml-cbor", 112),
    ("senml-etch-json", 320),
    ("senml-etch-cbor", 322),
    ("tlv", 11542),
    ("json", 11543),
    ("lwm2m-cbor", 11544),
];

/// The number of a content format that is given by name or number.
pub(crate) fn parse_format(text: &str) -> Result<u32, String> {
    let named = FORMATS
        .iter()
        .find(|(name, _)| *name == text)
        .map(|(_, number)| *number);
    named
        .or_else(|| text.parse::<u16>().ok().map(u32::from))
        .ok_or_else(|| {
            let names: Vec<&str> = FORMATS.iter().map(|(name, _)| *name).collect();
            format!(
                "a content format is a number or one of {}",
                names.join(", ")
            )
        })
}

/// The name of a content format, or its number if it has none.
pub(crate) fn format_name(number: u32) -> String {
    FORMATS
        .iter()
        .find(|(_, known)| *known == number)
        .map_or_else(|| number.to_string(), |(name, _)| (*name).to_owned())
}

/// Whether a text is RFC 3339 and would be refused in the canonical form of a time.
pub(crate) fn seconds_of(text: &str) -> Option<i64> {
    let time: prost_types::Timestamp = text.parse().ok()?;
    SystemTime::try_from(time).ok()?;
    Some(time.seconds)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    fn kind(path: &str, text: &str, named: Option<TypeName>) -> Kind {
        typed(parse_path(path).unwrap(), text, named)
            .unwrap()
            .value
            .unwrap()
            .kind
            .unwrap()
    }

    #[test]
    fn values_have_the_type_of_the_definition() {
        assert_eq!(
            kind("3/0/14", "+02:00", None),
            Kind::String("+02:00".to_owned())
        );
        assert_eq!(kind("/1/0/1", "300", None), Kind::Integer(300));
        assert_eq!(kind("/1/0/6", "true", None), Kind::Boolean(true));
        let noon = prost_types::Timestamp {
            seconds: 43_200,
            nanos: 0,
        };
        assert_eq!(
            kind("/3/0/13", "1970-01-01T12:00:00Z", None),
            Kind::Time(noon)
        );
        assert_eq!(kind("/3/0/13", "43200", None), Kind::Time(noon));
        assert_eq!(
            kind("/31000/0/1", "5", Some(TypeName::Unsigned)),
            Kind::Unsigned(5)
        );
    }

    #[test]
    fn what_cannot_be_typed_says_why() {
        let refused = |path: &str, text: &str| {
            typed(parse_path(path).unwrap(), text, None)
                .unwrap_err()
                .report()
        };
        assert!(refused("/31000/0/1", "5").contains("--type"));
        assert!(refused("/3/0/4", "5").contains("drover exec"));
        assert!(refused("/1/0/1", "soon").contains("not a valid integer"));
    }

    #[test]
    fn assignments_are_relative_or_absolute() {
        let base = Path::ObjectInstance(3, 0);
        assert_eq!(assignment(base, "14=+02:00", None).unwrap().path, "/3/0/14");
        assert_eq!(
            assignment(base, "/3/0/15=Europe/Berlin", None)
                .unwrap()
                .path,
            "/3/0/15"
        );
        for wrong in ["14", "/4/0/1=1", "x=1", "=1", "/3/0=1"] {
            assert!(assignment(base, wrong, None).is_err(), "{wrong}");
        }
    }
}
