//! The small texts of LwM2M: paths, bindings, arguments, values.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use device_state::{new_registration_id, registration_shard};
use lwm2m::{
    AlternatePath, Binding, EndpointName, ExecuteArguments, Lifetime, LwM2mVersion, Method,
    ObjectVersion, Path, RawRequest, RegistrationId, Value, ValueType,
};

const TYPES: [ValueType; 9] = [
    ValueType::String,
    ValueType::Integer,
    ValueType::Unsigned,
    ValueType::Float,
    ValueType::Boolean,
    ValueType::Opaque,
    ValueType::Time,
    ValueType::ObjectLink,
    ValueType::CoreLink,
];

/// Text that is read as something is read alike when that is written.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    again::<Path>(&text);
    again::<Binding>(&text);
    again::<AlternatePath>(&text);
    again::<ObjectVersion>(&text);
    again::<ExecuteArguments>(&text);
    again::<Lifetime>(&text);
    again::<LwM2mVersion>(&text);
    again::<EndpointName>(&text);
    again::<RegistrationId>(&text);
    for value_type in TYPES {
        if let Ok(value) = Value::parse(value_type, &text) {
            assert_eq!(value.value_type(), value_type);
            let written = value.to_text();
            assert_eq!(Value::parse(value_type, &written), Ok(value), "{written}");
        }
    }
    for method in Method::ALL {
        if let Ok(raw) = RawRequest::new(method, &text) {
            assert_eq!(raw.target(), text);
        }
    }
    if let Ok(id) = RegistrationId::new(&text)
        && let Some(shard) = registration_shard(&id)
    {
        let own = registration_shard(&new_registration_id(shard, 7));
        assert_eq!(own, Some(shard));
    }
    if let Ok(root) = text.parse::<AlternatePath>() {
        let target = format!("/{}", root.uri_path(Path::Resource(3, 0, 9)).join("/"));
        assert_eq!(root.strip(&target), Some("/3/0/9"), "{target}");
    }
}

fn again<T: FromStr + Display + Debug + PartialEq>(text: &str)
where
    T::Err: Debug + PartialEq,
{
    if let Ok(read) = text.parse::<T>() {
        let written = read.to_string();
        assert_eq!(written.parse::<T>(), Ok(read), "{written}");
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "/3/0/9",
        "/3303/0/5700/1",
        "UQ",
        "UTSN",
        "/lwm2m",
        "</a/b>",
        "1.2",
        "0='x',1='https://a.example',9",
        "86400",
        "4294967295",
        "urn:imei:490154203237518",
        "00011234567890abcdef",
        "-1.5e3",
        "9223372036854775807",
        "AQID",
        "4:0",
        "/a/b?c=d&e",
        "true",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}
