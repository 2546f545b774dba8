//! Faults of devices, by name.

use lwm2m::attributes::AttributeName;
use lwm2m::{ContentFormat, Path};
use lwm2m_client::Fault;

/// Faults without a value.
const PLAIN: [(&str, Fault); 14] = [
    ("refuses-composite", Fault::RefusesComposite),
    ("swallows-composite", Fault::SwallowsComposite),
    (
        "refuses-observe-parameters",
        Fault::RefusesObserveParameters,
    ),
    ("ignores-depth", Fault::IgnoresDepth),
    ("discovers-with-slashes", Fault::DiscoversWithSlashes),
    ("omits-format", Fault::OmitsFormat),
    ("numbers-formats-as-drafts", Fault::NumbersFormatsAsDrafts),
    ("ignores-accept", Fault::IgnoresAccept),
    ("refuses-accept-as-format", Fault::RefusesAcceptAsFormat),
    ("omits-location", Fault::OmitsLocation),
    ("refuses-known-instance", Fault::RefusesKnownInstance),
    ("omits-observe", Fault::OmitsObserve),
    ("ignores-reset", Fault::IgnoresReset),
    ("wrong-token", Fault::WrongToken),
];

/// Reads `NAME` or `NAME=VALUE`.
pub(super) fn parse(text: &str) -> Result<Fault, String> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let plain = PLAIN.into_iter().find(|(known, _)| *known == name);
    match (name, plain) {
        (_, Some((_, fault))) if value.is_empty() => Ok(fault),
        (_, Some(_)) => Err(format!("{name} has no value")),
        ("never-answers", None) => {
            let path: Path = value.parse().map_err(|error| format!("{name}: {error}"))?;
            Ok(Fault::NeverAnswers(path))
        }
        ("answers-after", None) => humantime::parse_duration(value)
            .map(Fault::AnswersAfter)
            .map_err(|error| format!("{name}: {error}")),
        ("refuses-attribute", None) => AttributeName::ALL
            .into_iter()
            .find(|attribute| attribute.as_str() == value)
            .map(Fault::RefusesAttribute)
            .ok_or_else(|| format!("{name}: no notification attribute is called {value:?}")),
        ("mislabels-format", None) => value
            .parse()
            .map(|number| Fault::MislabelsFormat(ContentFormat(number)))
            .map_err(|_| format!("{name}: a content format is a number, such as 0")),
        _ => Err(format!("unknown fault; known are {}", names())),
    }
}

fn names() -> String {
    let plain = PLAIN.iter().map(|(name, _)| *name);
    let with_value = [
        "never-answers=PATH",
        "answers-after=DURATION",
        "refuses-attribute=NAME",
        "mislabels-format=NUMBER",
    ];
    plain.chain(with_value).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_fault_has_a_value_where_it_needs_one() {
        assert_eq!(parse("omits-location"), Ok(Fault::OmitsLocation));
        assert_eq!(parse("wrong-token"), Ok(Fault::WrongToken));
        assert_eq!(
            parse("never-answers=/3303/0/5700"),
            Ok(Fault::NeverAnswers(Path::Resource(3303, 0, 5700)))
        );
        assert_eq!(
            parse("answers-after=3s"),
            Ok(Fault::AnswersAfter(Duration::from_secs(3)))
        );
        assert_eq!(
            parse("refuses-attribute=hqmax"),
            Ok(Fault::RefusesAttribute(AttributeName::Hqmax))
        );
        assert_eq!(
            parse("mislabels-format=0"),
            Ok(Fault::MislabelsFormat(ContentFormat::TEXT))
        );
        for wrong in [
            "",
            "omits-location=1",
            "never-answers",
            "answers-after=soon",
            "refuses-attribute=pmean",
            "mislabels-format=text",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
