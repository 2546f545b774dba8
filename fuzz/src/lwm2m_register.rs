//! What a device says when it registers: query parameters and link lists; and the queries of Write-Attributes.

use lwm2m::{Link, NotificationAttributes, ObjectLinks, Path, RegisterRequest, UpdateRequest};

use crate::script::{Script, put_chunk};

/// A byte for the number of query parameters, these as chunks, then the payload. What is read is read alike after it was
/// written.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let query: Vec<String> = (0..script.byte() % 80)
        .map(|_| String::from_utf8_lossy(script.chunk()).into_owned())
        .collect();
    let payload = script.rest();
    let register = RegisterRequest::parse(&query, payload);
    let update = UpdateRequest::parse(&query, payload);
    if let (Ok(register), Ok(update)) = (register, update) {
        assert_eq!(register.lifetime, update.lifetime);
        assert_eq!(register.links, update.links.unwrap_or_default());
    }
    if let Ok(links) = ObjectLinks::parse_bytes(payload) {
        let written = links.to_string();
        let read = ObjectLinks::parse(&written).expect("what was written can be read");
        // The writer announces an alternate path if the first link of it does not.
        let below = |links: &ObjectLinks| -> Vec<Link> {
            let links = links.iter().filter(|link| link.path != Path::Root);
            links.cloned().collect()
        };
        assert_eq!(below(&read), below(&links), "{written}");
        assert_eq!(ObjectLinks::parse(&read.to_string()), Ok(read), "{written}");
    }
    if let Ok(attributes) = NotificationAttributes::parse_query(&query) {
        let written = attributes.to_query();
        assert_eq!(
            NotificationAttributes::parse_query(&written),
            Ok(attributes),
            "{written:?}"
        );
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let script = |query: &[&str], payload: &str| {
        let mut script = vec![query.len() as u8];
        for parameter in query {
            put_chunk(&mut script, parameter.as_bytes());
        }
        script.extend_from_slice(payload.as_bytes());
        script
    };
    vec![
        script(
            &["ep=urn:imei:490154203237518", "lwm2m=1.1", "lt=300", "b=UQ"],
            "</>;rt=\"oma.lwm2m\";ct=\"110 112 60\",</1/0>,</3>;ver=1.2,</3/0>,</5>",
        ),
        script(
            &["lwm2m=1.2", "lt=86400", "b=T", "Q", "pid=1", "sms=123", "x"],
            "</lwm2m>;rt=\"oma.lwm2m\",</lwm2m/1/0>,</lwm2m/3/0>",
        ),
        script(&["lt=60", "b=U"], ""),
        script(
            &["pmin=10", "pmax=60", "gt=1.5", "lt=-2", "st=0.5", "edge=1"],
            "</3/0>;pmin=10;pmax=60,</3/0/6>;dim=2,</3/0/9>;gt=20",
        ),
    ]
}
