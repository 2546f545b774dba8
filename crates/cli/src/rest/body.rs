//! Leshan's nodes as values to write: what a suite puts into a request.

use lwm2m::{Entry, Path, Registry, Value, ValueType};
use serde_json::Value as JsonValue;

/// The values of one request. More is refused by the API too.
const MAX_ENTRIES: usize = 4096;

/// The values of the node for `path`: an instance, a resource or a resource instance.
pub(super) fn entries(path: Path, node: &JsonValue) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    read(path, node, &mut entries)?;
    Ok(entries)
}

/// The values of an instance that is to be made, and its id if the node has one. Without an id they have 0 in their paths.
pub(super) fn created(object: Path, node: &JsonValue) -> Result<(Option<u16>, Vec<Entry>), String> {
    let id = node.get("id").map(|id| id_of(id, object)).transpose()?;
    let instance = match object {
        Path::Object(_) => object.child(id.unwrap_or_default()),
        _ => None,
    };
    let instance = instance.ok_or_else(|| format!("no instance of {object} can be created"))?;
    Ok((id, entries(instance, node)?))
}

/// The values of a composite write: a node for each path.
pub(super) fn composite(nodes: &JsonValue) -> Result<Vec<Entry>, String> {
    let nodes = nodes.as_object().ok_or("no object of paths and nodes")?;
    let mut entries = Vec::new();
    for (name, node) in nodes {
        let path = name.parse::<Path>();
        let path = path.map_err(|error| format!("{name}: {error}"))?;
        read(path, node, &mut entries)?;
    }
    Ok(entries)
}

/// A text that is written as it is; typed by the object's definition, else a string.
pub(super) fn text(path: Path, text: &str) -> Result<Vec<Entry>, String> {
    let value_type = Registry::oma()
        .value_type(path)
        .unwrap_or(ValueType::String);
    let value = Value::parse(value_type, text).map_err(|error| format!("{path}: {error}"))?;
    Ok(vec![Entry::new(path, value)])
}

/// Recursion ends where paths do.
fn read(path: Path, node: &JsonValue, entries: &mut Vec<Entry>) -> Result<(), String> {
    if let Some(id) = node.get("id") {
        check_id(path, id)?;
    }
    let malformed = |what: &str| format!("{path}: the node has no {what}");
    match path {
        Path::ObjectInstance(..) => {
            let resources = node.get("resources").and_then(JsonValue::as_array);
            for resource in resources.ok_or_else(|| malformed("\"resources\""))? {
                let id = resource.get("id").ok_or_else(|| malformed("id"))?;
                let below = child(path, id_of(id, path)?)?;
                read(below, resource, entries)?;
            }
            Ok(())
        }
        Path::Resource(..) if node.get("values").is_some() => {
            let values = node.get("values").and_then(JsonValue::as_object);
            for (id, value) in values.ok_or_else(|| malformed("object \"values\""))? {
                let id: u16 = match id.parse() {
                    Ok(id) => id,
                    Err(_) => return Err(format!("{path}: {id} is no id")),
                };
                push(child(path, id)?, node, value, entries)?;
            }
            Ok(())
        }
        Path::Resource(..) | Path::ResourceInstance(..) => {
            let value = node.get("value").ok_or_else(|| malformed("\"value\""))?;
            push(path, node, value, entries)
        }
        Path::Root | Path::Object(_) => Err(format!("{path} cannot be written")),
    }
}

fn push(
    path: Path,
    node: &JsonValue,
    value: &JsonValue,
    entries: &mut Vec<Entry>,
) -> Result<(), String> {
    if entries.len() >= MAX_ENTRIES {
        return Err(format!("more than {MAX_ENTRIES} values"));
    }
    let named = node.get("type").and_then(JsonValue::as_str);
    let named = named.ok_or_else(|| format!("{path}: the node has no \"type\""))?;
    let value_type =
        named_type(named).ok_or_else(|| format!("{path}: \"{named}\" is no data type"))?;
    let value = parse(value_type, value)
        .ok_or_else(|| format!("{path}: {value} is not a valid {value_type}"))?;
    entries.push(Entry::new(path, conformed(path, value)));
    Ok(())
}

/// A value of another type than the definition's is sent as it is: the device shall judge it.
fn conformed(path: Path, value: Value) -> Value {
    match Registry::oma().value_type(path) {
        Some(value_type) => value.clone().conform(value_type).unwrap_or(value),
        None => value,
    }
}

fn named_type(name: &str) -> Option<ValueType> {
    Some(match name.to_ascii_uppercase().as_str() {
        "STRING" => ValueType::String,
        "INTEGER" => ValueType::Integer,
        "UNSIGNED_INTEGER" => ValueType::Unsigned,
        "FLOAT" => ValueType::Float,
        "BOOLEAN" => ValueType::Boolean,
        "OPAQUE" => ValueType::Opaque,
        "TIME" => ValueType::Time,
        "OBJLNK" => ValueType::ObjectLink,
        "CORELINK" => ValueType::CoreLink,
        _ => return None,
    })
}

/// Numbers may be JSON numbers or texts, as Leshan takes both.
fn parse(value_type: ValueType, value: &JsonValue) -> Option<Value> {
    Some(match value_type {
        ValueType::String => Value::String(value.as_str()?.to_owned()),
        ValueType::CoreLink => Value::CoreLink(value.as_str()?.to_owned()),
        ValueType::Boolean => Value::Boolean(value.as_bool()?),
        ValueType::Opaque => Value::Opaque(hex::decode(value.as_str()?).ok()?),
        // Milliseconds since 1970; LwM2M has seconds.
        ValueType::Time => Value::Time(value.as_i64()?.div_euclid(1000)),
        ValueType::ObjectLink => Value::ObjectLink {
            object: u16::try_from(value.get("objectId")?.as_u64()?).ok()?,
            instance: u16::try_from(value.get("objectInstanceId")?.as_u64()?).ok()?,
        },
        ValueType::Integer | ValueType::Unsigned | ValueType::Float => match value {
            JsonValue::String(text) => Value::parse(value_type, text).ok()?,
            JsonValue::Number(number) => number_of(value_type, number)?,
            _ => return None,
        },
    })
}

fn number_of(value_type: ValueType, number: &serde_json::Number) -> Option<Value> {
    match value_type {
        ValueType::Integer => number.as_i64().map(Value::Integer),
        ValueType::Unsigned => number.as_u64().map(Value::Unsigned),
        _ => number.as_f64().map(Value::Float),
    }
}

/// An id is a number or its text: the suite cuts some out of paths.
fn id_of(id: &JsonValue, path: Path) -> Result<u16, String> {
    let number = match id {
        JsonValue::String(text) => text.parse().ok(),
        other => other.as_u64().and_then(|id| u16::try_from(id).ok()),
    };
    number.ok_or_else(|| format!("{path}: {id} is no id"))
}

fn check_id(path: Path, id: &JsonValue) -> Result<(), String> {
    if path.segments().last() == Some(id_of(id, path)?) {
        Ok(())
    } else {
        Err(format!("the node for {path} has the id {id}"))
    }
}

fn child(path: Path, id: u16) -> Result<Path, String> {
    path.child(id)
        .ok_or_else(|| format!("{path} has nothing with the id {id}"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use serde_json::json;

    use super::*;

    fn entry(path: &str, value: Value) -> Entry {
        Entry::new(path.parse().unwrap(), value)
    }

    #[test]
    fn a_resource_of_the_suite_is_written() {
        // leshan.write(endpoint, '1/0/1', 60)
        let node = json!({"id": "1", "kind": "singleResource", "value": 60, "type": "integer"});
        let written = entries(Path::Resource(1, 0, 1), &node).unwrap();
        assert_eq!(written, [entry("/1/0/1", Value::Integer(60))]);
        // leshan.write(endpoint, '16/0/0/0', 'test')
        let node =
            json!({"id": "0", "kind": "resourceInstance", "value": "test", "type": "string"});
        let written = entries(Path::ResourceInstance(16, 0, 0, 0), &node).unwrap();
        let expected = entry("/16/0/0/0", Value::String("test".to_owned()));
        assert_eq!(written, [expected]);
        // leshan.write(endpoint, '5/0/0', b'12')
        let node = json!({"id": "0", "kind": "singleResource", "value": "3132", "type": "opaque"});
        let written = entries(Path::Resource(5, 0, 0), &node).unwrap();
        assert_eq!(written, [entry("/5/0/0", Value::Opaque(b"12".to_vec()))]);
    }

    #[test]
    fn an_instance_of_the_suite_is_written_or_created() {
        // leshan.create_obj_instance(endpoint, '16/1', {0: {0: 'a', 1: 'b'}})
        let node = json!({"kind": "instance", "id": 1, "resources": [
            {"id": 0, "kind": "multiResource", "values": {"0": "a", "1": "b"}, "type": "string"},
        ]});
        let text = |text: &str| Value::String(text.to_owned());
        let expected = vec![entry("/16/1/0/0", text("a")), entry("/16/1/0/1", text("b"))];
        assert_eq!(
            created(Path::Object(16), &node),
            Ok((Some(1), expected.clone()))
        );
        assert_eq!(entries(Path::ObjectInstance(16, 1), &node), Ok(expected));
        let unnamed = json!({"kind": "instance", "resources": []});
        assert_eq!(created(Path::Object(16), &unnamed), Ok((None, Vec::new())));
        assert!(created(Path::ObjectInstance(16, 1), &node).is_err());
    }

    #[test]
    fn a_composite_write_of_the_suite_is_read() {
        let nodes = json!({
            "/1/0/6": {"id": 6, "kind": "singleResource", "value": true, "type": "boolean"},
            "/3/0/13": {"id": 13, "kind": "singleResource", "value": 1000, "type": "time"},
            "/16/0/0": {"id": 0, "kind": "multiResource", "values": {"0": "aa"}, "type": "string"},
        });
        let mut written = composite(&nodes).unwrap();
        written.sort_by_key(|entry| entry.path);
        let expected = [
            entry("/1/0/6", Value::Boolean(true)),
            entry("/3/0/13", Value::Time(1)),
            entry("/16/0/0/0", Value::String("aa".to_owned())),
        ];
        assert_eq!(written, expected);
    }

    #[test]
    fn values_get_the_type_of_the_definition_where_they_can() {
        let float = json!({"id": 5700, "value": "21", "type": "INTEGER"});
        let written = entries(Path::Resource(3303, 0, 5700), &float).unwrap();
        assert_eq!(written[0].value, Value::Float(21.0));
        let misfit = json!({"id": 1, "value": "soon", "type": "STRING"});
        let written = entries(Path::Resource(1, 0, 1), &misfit).unwrap();
        assert_eq!(written[0].value, Value::String("soon".to_owned()));
        let plain = text(Path::Resource(1, 0, 1), "60").unwrap();
        assert_eq!(plain[0].value, Value::Integer(60));
        assert!(text(Path::Resource(1, 0, 1), "soon").is_err());
    }

    #[test]
    fn malformed_nodes_are_refused() {
        let resource = Path::Resource(3, 0, 0);
        for node in [
            json!(null),
            json!([]),
            json!({"value": "x"}),
            json!({"id": 1, "value": "x", "type": "string"}),
            json!({"value": 1, "type": "string"}),
            json!({"value": 1, "type": "number"}),
            json!({"value": "0x", "type": "opaque"}),
            json!({"values": [1], "type": "integer"}),
            json!({"values": {"x": 1}, "type": "integer"}),
        ] {
            assert!(entries(resource, &node).is_err(), "{node}");
        }
        let node = json!({"resources": [{"value": 1, "type": "integer"}]});
        assert!(entries(Path::ObjectInstance(3, 0), &node).is_err());
        assert!(entries(Path::Object(3), &node).is_err());
        assert!(composite(&json!({"3/0/0": {}})).is_err());
    }
}
