//! Values of resources.

use proto::drover::v1::value::Kind;
use proto::drover::v1::{PathValue, ReportedValue, Value};
use serde::Serialize;
use serde_json::{Number, Value as Json, json};

use crate::model::resource_name;
use crate::table;
use crate::time::rfc3339;

/// `{"path", "type", "value"}`. A time is RFC 3339, an opaque value Base64, an object link `object:instance`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ValueView {
    path: String,
    #[serde(rename = "type")]
    value_type: &'static str,
    value: Json,
}

impl ValueView {
    fn new(path: String, value: Option<Value>) -> Self {
        let (value_type, value) = shown(value);
        Self {
            path,
            value_type,
            value,
        }
    }

    /// `PATH NAME TYPE VALUE`.
    pub(crate) fn row(&self) -> Vec<String> {
        self.cells().into()
    }

    fn cells(&self) -> [String; 4] {
        let name = resource_name(&self.path).unwrap_or_default().to_owned();
        let value_type = self.value_type.to_owned();
        [self.path.clone(), name, value_type, self.text()]
    }

    /// The value without quotes.
    pub(crate) fn text(&self) -> String {
        match &self.value {
            Json::String(text) => text.clone(),
            Json::Null => String::new(),
            other => other.to_string(),
        }
    }
}

impl From<PathValue> for ValueView {
    fn from(value: PathValue) -> Self {
        Self::new(value.path, value.value)
    }
}

fn shown(value: Option<Value>) -> (&'static str, Json) {
    let Some(kind) = value.and_then(|value| value.kind) else {
        return ("none", Json::Null);
    };
    match kind {
        Kind::String(text) => ("string", json!(text)),
        Kind::Integer(number) => ("integer", json!(number)),
        Kind::Unsigned(number) => ("unsigned", json!(number)),
        // JSON has no number for what is not finite.
        Kind::Float(number) => (
            "float",
            Number::from_f64(number).map_or_else(|| json!(number.to_string()), Json::Number),
        ),
        Kind::Boolean(truth) => ("boolean", json!(truth)),
        Kind::Opaque(bytes) => ("opaque", json!(lwm2m::Value::Opaque(bytes).to_text())),
        Kind::Time(time) => ("time", json!(time.to_string())),
        Kind::ObjectLink(link) => (
            "objectLink",
            json!(format!("{}:{}", link.object, link.instance)),
        ),
        Kind::CoreLink(text) => ("coreLink", json!(text)),
    }
}

/// A value with its time and its origin: `Notify`, `Send`, `Read` or `Write`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ReportedView {
    #[serde(flatten)]
    pub(crate) value: ValueView,
    time: Option<String>,
    origin: String,
    /// The prefix of the device behind a gateway that it is of, unless it is of the device itself.
    child: Option<String>,
}

impl From<ReportedValue> for ReportedView {
    fn from(reported: ReportedValue) -> Self {
        Self {
            value: ValueView::new(reported.path, reported.value),
            time: rfc3339(reported.time.as_ref()),
            origin: reported.origin,
            child: (!reported.child.is_empty()).then_some(reported.child),
        }
    }
}

impl ReportedView {
    /// `PATH NAME TYPE VALUE ORIGIN TIME`.
    pub(crate) fn row(&self) -> Vec<String> {
        let [_, name, value_type, value] = self.value.cells();
        let time = self.time.clone().unwrap_or_default();
        let origin = self.origin.clone();
        vec![self.path(), name, value_type, value, origin, time]
    }

    /// The path, with the prefix of a device behind a gateway in front.
    pub(crate) fn path(&self) -> String {
        match &self.child {
            Some(child) => format!("/{child}{}", self.value.path),
            None => self.value.path.clone(),
        }
    }

    /// One line of a stream: `TIME  PATH  VALUE`.
    pub(crate) fn line(&self) -> String {
        let time = self.time.as_deref().unwrap_or("-");
        format!(
            "{time}  {}  {}\n",
            self.path(),
            table::printable(&self.value.text())
        )
    }
}

/// What `read` prints: `{"endpoint", "path", "values"}`.
#[derive(Debug, Serialize)]
pub(crate) struct ReadView {
    pub(crate) endpoint: String,
    pub(crate) path: String,
    pub(crate) values: Vec<ValueView>,
}

impl ReadView {
    pub(crate) fn table(&self) -> String {
        table::render(
            &["PATH", "NAME", "TYPE", "VALUE"],
            self.values.iter().map(ValueView::row),
        )
    }
}

/// One notification of `observe`: `{"endpoint", "path", "values"}`.
#[derive(Debug, Serialize)]
pub(crate) struct ObserveView {
    pub(crate) endpoint: String,
    pub(crate) path: String,
    pub(crate) values: Vec<ReportedView>,
}

/// Values as rows, as in [`ReadView`].
pub(crate) fn values(values: Vec<PathValue>) -> Vec<ValueView> {
    values.into_iter().map(ValueView::from).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    #[test]
    fn values_have_documented_types_and_forms() {
        let all = [
            Kind::String("a".to_owned()),
            Kind::Integer(-1),
            Kind::Unsigned(u64::MAX),
            Kind::Float(21.5),
            Kind::Float(f64::NAN),
            Kind::Boolean(true),
            Kind::Opaque(vec![1, 2, 3]),
            Kind::Time(prost_types::Timestamp {
                seconds: 0,
                nanos: 0,
            }),
            Kind::ObjectLink(proto::drover::v1::ObjectLink {
                object: 3,
                instance: 0,
            }),
            Kind::CoreLink("</3/0>".to_owned()),
        ];
        let shown: Vec<String> = all
            .into_iter()
            .map(|kind| {
                let view = ValueView::new("/3/0/0".to_owned(), Some(Value { kind: Some(kind) }));
                serde_json::to_string(&view).unwrap()
            })
            .collect();
        insta::assert_snapshot!(shown.join("\n"), @r#"
        {"path":"/3/0/0","type":"string","value":"a"}
        {"path":"/3/0/0","type":"integer","value":-1}
        {"path":"/3/0/0","type":"unsigned","value":18446744073709551615}
        {"path":"/3/0/0","type":"float","value":21.5}
        {"path":"/3/0/0","type":"float","value":"NaN"}
        {"path":"/3/0/0","type":"boolean","value":true}
        {"path":"/3/0/0","type":"opaque","value":"AQID"}
        {"path":"/3/0/0","type":"time","value":"1970-01-01T00:00:00Z"}
        {"path":"/3/0/0","type":"objectLink","value":"3:0"}
        {"path":"/3/0/0","type":"coreLink","value":"</3/0>"}
        "#);
    }

    #[test]
    fn rows_name_the_resource() {
        let view = ReadView {
            endpoint: "dev-1".to_owned(),
            path: "/3/0/0".to_owned(),
            values: values(vec![PathValue {
                path: "/3/0/0".to_owned(),
                value: Some(Value {
                    kind: Some(Kind::String("Acme".to_owned())),
                }),
            }]),
        };
        insta::assert_snapshot!(view.table(), @r"
        PATH     NAME           TYPE     VALUE
        /3/0/0   Manufacturer   string   Acme
        ");
    }
}
