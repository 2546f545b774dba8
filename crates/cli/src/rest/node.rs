//! Values of a device as Leshan's nodes: a tree of `obj`, `instance`, `singleResource`, `multiResource` and
//! `resourceInstance`.

use lwm2m::{Path, Registry, Value, ValueType};
use proto::drover::v1::{PathValue, ReportedValue};
use serde_json::{Map, Number, Value as JsonValue, json};

/// Values sorted by path, each path once.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Values(Vec<(Path, Value)>);

impl Values {
    /// The last value of each path; what cannot be understood is left out.
    pub(super) fn new(values: impl IntoIterator<Item = (String, Option<PublicValue>)>) -> Self {
        let read = |(path, value): (String, Option<PublicValue>)| {
            Some((path.parse().ok()?, Value::try_from(value?).ok()?))
        };
        Self::from_pairs(values.into_iter().filter_map(read))
    }

    pub(super) fn read(values: Vec<PathValue>) -> Self {
        Self::new(values.into_iter().map(|one| (one.path, one.value)))
    }

    pub(super) fn reported(values: Vec<ReportedValue>) -> Self {
        Self::new(values.into_iter().map(|one| (one.path, one.value)))
    }

    fn from_pairs(values: impl IntoIterator<Item = (Path, Value)>) -> Self {
        let sorted: std::collections::BTreeMap<Path, Value> = values.into_iter().collect();
        Self(sorted.into_iter().collect())
    }

    /// The node at `path`. An object or instance without values is empty; a resource without any is null.
    pub(super) fn node(&self, path: Path) -> JsonValue {
        node(path, self.below(path))
    }

    /// The nodes at `paths` by their paths; those without values are left out, as Leshan does.
    pub(super) fn nodes(&self, paths: &[Path]) -> JsonValue {
        let known = paths
            .iter()
            .filter(|path| !self.below(**path).is_empty())
            .map(|path| (path.to_string(), self.node(*path)));
        known.collect::<Map<_, _>>().into()
    }

    /// Every value by its own path, as of a Send.
    pub(super) fn each(&self) -> JsonValue {
        let paths: Vec<Path> = self.0.iter().map(|(path, _)| *path).collect();
        self.nodes(&paths)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn below(&self, path: Path) -> &[(Path, Value)] {
        let is_below = |(one, _): &(Path, Value)| one.starts_with(path);
        // Sorted as a walk through the tree: what is below a path is together.
        let from = self.0.iter().position(is_below).unwrap_or(self.0.len());
        let below = self.0.get(from..).unwrap_or_default();
        let count = below.iter().take_while(|one| is_below(one)).count();
        below.get(..count).unwrap_or_default()
    }
}

type PublicValue = proto::drover::v1::Value;

fn node(path: Path, values: &[(Path, Value)]) -> JsonValue {
    let id = path.segments().last();
    match path {
        Path::Root => json!({"kind": "root", "objects": children(path, values)}),
        Path::Object(_) => json!({"id": id, "kind": "obj", "instances": children(path, values)}),
        Path::ObjectInstance(..) => {
            json!({"id": id, "kind": "instance", "resources": children(path, values)})
        }
        Path::Resource(..) => resource(path, values),
        Path::ResourceInstance(..) => match values {
            [(_, value)] => single(id, "resourceInstance", value),
            _ => JsonValue::Null,
        },
    }
}

/// The nodes one level below `path`. There is no deeper recursion than a path is long.
fn children(path: Path, values: &[(Path, Value)]) -> Vec<JsonValue> {
    let child = |one: &(Path, Value)| one.0.segments().nth(path.depth());
    values
        .chunk_by(|a, b| child(a) == child(b))
        .filter_map(|chunk| {
            let id = child(chunk.first()?)?;
            Some(node(path.child(id)?, chunk))
        })
        .collect()
}

fn resource(path: Path, values: &[(Path, Value)]) -> JsonValue {
    let id = path.segments().last();
    if let [(own, value)] = values
        && *own == path
    {
        return single(id, "singleResource", value);
    }
    let defined = Registry::oma().resource(path);
    let value_type = match values {
        [(_, value), ..] => Some(value.value_type()),
        [] => defined
            .filter(|defined| defined.multiple)
            .and_then(|defined| defined.value_type),
    };
    let Some(value_type) = value_type else {
        return JsonValue::Null;
    };
    let instances = values.iter().filter_map(|(path, value)| {
        let id = path.resource_instance_id()?;
        Some((id.to_string(), shown(value)))
    });
    let instances: Map<String, JsonValue> = instances.collect();
    json!({"id": id, "kind": "multiResource", "type": type_name(value_type), "values": instances})
}

fn single(id: Option<u16>, kind: &str, value: &Value) -> JsonValue {
    json!({"id": id, "kind": kind, "type": type_name(value.value_type()), "value": shown(value)})
}

const fn type_name(value_type: ValueType) -> &'static str {
    match value_type {
        ValueType::String => "STRING",
        ValueType::Integer => "INTEGER",
        ValueType::Unsigned => "UNSIGNED_INTEGER",
        ValueType::Float => "FLOAT",
        ValueType::Boolean => "BOOLEAN",
        ValueType::Opaque => "OPAQUE",
        ValueType::Time => "TIME",
        ValueType::ObjectLink => "OBJLNK",
        ValueType::CoreLink => "CORELINK",
    }
}

fn shown(value: &Value) -> JsonValue {
    match value {
        Value::String(text) | Value::CoreLink(text) => json!(text),
        // Leshan writes integers as texts, because JavaScript's numbers do not hold 64 bits.
        Value::Integer(number) => json!(number.to_string()),
        Value::Unsigned(number) => json!(number.to_string()),
        // A number: Zephyr's suite compares it to one, and only turns integers into numbers itself. JSON has none for
        // what is not finite.
        Value::Float(number) => {
            Number::from_f64(*number).map_or_else(|| json!(number.to_string()), JsonValue::Number)
        }
        Value::Boolean(truth) => json!(truth),
        Value::Opaque(bytes) => json!(hex::encode(bytes)),
        // Milliseconds since 1970, as Jackson writes a date.
        Value::Time(seconds) => json!(seconds.saturating_mul(1000)),
        Value::ObjectLink { object, instance } => {
            json!({"objectId": object, "objectInstanceId": instance})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device() -> Values {
        let text = |text: &str| Value::String(text.to_owned());
        Values::from_pairs([
            (Path::Resource(3, 0, 16), text("U")),
            (Path::Resource(3, 0, 0), text("Zephyr")),
            (Path::ResourceInstance(3, 0, 11, 0), Value::Integer(0)),
            (Path::Resource(1, 0, 1), Value::Integer(86_400)),
            (Path::Resource(1, 0, 6), Value::Boolean(false)),
        ])
    }

    #[test]
    fn a_read_resource_is_a_single_one() {
        let expected =
            json!({"id": 0, "kind": "singleResource", "type": "STRING", "value": "Zephyr"});
        assert_eq!(device().node(Path::Resource(3, 0, 0)), expected);
        let expected =
            json!({"id": 0, "kind": "resourceInstance", "type": "INTEGER", "value": "0"});
        assert_eq!(device().node(Path::ResourceInstance(3, 0, 11, 0)), expected);
    }

    #[test]
    fn a_read_object_is_a_tree() {
        let expected = json!({"id": 3, "kind": "obj", "instances": [
            {"id": 0, "kind": "instance", "resources": [
                {"id": 0, "kind": "singleResource", "type": "STRING", "value": "Zephyr"},
                {"id": 11, "kind": "multiResource", "type": "INTEGER", "values": {"0": "0"}},
                {"id": 16, "kind": "singleResource", "type": "STRING", "value": "U"},
            ]},
        ]});
        assert_eq!(device().node(Path::Object(3)), expected);
        let root = device().node(Path::Root);
        assert_eq!(root["objects"][0]["id"], 1);
        assert_eq!(root["objects"][1], expected);
    }

    #[test]
    fn what_a_composite_read_did_not_find_is_left_out() {
        let asked = [
            Path::Resource(1, 0, 1),
            Path::ResourceInstance(3, 0, 11, 0),
            Path::Resource(3339, 0, 5522),
        ];
        let nodes = device().nodes(&asked);
        let found: Vec<&String> = nodes.as_object().into_iter().flat_map(Map::keys).collect();
        assert_eq!(found, ["/1/0/1", "/3/0/11/0"]);
        assert_eq!(nodes["/1/0/1"]["value"], "86400");
        assert_eq!(device().each().as_object().map(Map::len), Some(5));
    }

    #[test]
    fn nothing_is_told_from_an_empty_resource() {
        let none = Values::default();
        assert_eq!(none.node(Path::Resource(3, 0, 0)), JsonValue::Null);
        let expected = json!({"id": 11, "kind": "multiResource", "type": "INTEGER", "values": {}});
        assert_eq!(none.node(Path::Resource(3, 0, 11)), expected);
        let expected = json!({"id": 16, "kind": "obj", "instances": []});
        assert_eq!(none.node(Path::Object(16)), expected);
    }

    #[test]
    fn values_have_leshans_forms() {
        assert_eq!(shown(&Value::Unsigned(u64::MAX)), "18446744073709551615");
        assert_eq!(shown(&Value::Float(1.0)), json!(1.0));
        assert_eq!(shown(&Value::Float(f64::NAN)), "NaN");
        assert_eq!(shown(&Value::Opaque(vec![1, 0xab])), "01ab");
        assert_eq!(shown(&Value::Time(2)), 2000);
        let link = Value::ObjectLink {
            object: 3,
            instance: 0,
        };
        assert_eq!(shown(&link), json!({"objectId": 3, "objectInstanceId": 0}));
    }
}
