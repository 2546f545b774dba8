#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use super::*;

fn query(text: &str) -> Result<NotificationAttributes, AttributeError> {
    NotificationAttributes::parse_query(&text.split('&').collect::<Vec<_>>())
}

#[test]
fn every_attribute_is_read_and_written() {
    let text = "pmin=10&pmax=60&gt=25.5&lt=-3&st=0.5&epmin=1&epmax=2&edge=1&con=0&hqmax=7";
    let attributes = query(text).unwrap();
    assert_eq!(attributes.pmin, Setting::To(10));
    assert_eq!(attributes.gt, Setting::To(25.5));
    assert_eq!(attributes.edge, Setting::To(Edge::Rising));
    assert_eq!(attributes.con, Setting::To(Confirmation::NonConfirmable));
    assert_eq!(attributes.to_query().join("&"), text);
}

#[test]
fn an_attribute_without_value_is_cleared() {
    let attributes = query("pmin&pmax=5").unwrap();
    assert_eq!(attributes.pmin, Setting::Cleared);
    assert_eq!(attributes.to_query(), ["pmin", "pmax=5"]);
    let known = query("pmin=3&gt=1").unwrap().then(attributes);
    assert_eq!(known.pmin, Setting::Cleared);
    assert_eq!(known.pmax, Setting::To(5));
    assert_eq!(known.gt, Setting::To(1.0));
}

#[test]
fn malformed_queries_are_refused() {
    assert_eq!(query("pmin=1&x=2"), Err(AttributeError::Unknown(1)));
    assert_eq!(
        query("pmin=1&pmin=2"),
        Err(AttributeError::Repeated(AttributeName::Pmin))
    );
    for (text, name) in [
        ("pmin=-1", AttributeName::Pmin),
        ("pmax=", AttributeName::Pmax),
        ("gt=x", AttributeName::Gt),
        ("st=-1", AttributeName::St),
        ("edge=2", AttributeName::Edge),
        ("con=true", AttributeName::Con),
        ("hqmax=1.5", AttributeName::Hqmax),
    ] {
        assert_eq!(query(text), Err(AttributeError::InvalidValue(name)));
    }
}

#[test]
fn thresholds_leave_room_for_the_step() {
    let path = Path::Resource(3303, 0, 5700);
    let validate = |text: &str| query(text).unwrap().validate(path);
    assert_eq!(validate("lt=1&gt=5&st=1"), Ok(()));
    assert_eq!(validate("lt=5&gt=5"), Err(AttributeError::ThresholdsCross));
    assert_eq!(validate("lt=1&gt=5&st=2"), Err(AttributeError::StepTooWide));
    assert_eq!(validate("lt=9&st=2"), Ok(()));
}

#[test]
fn value_attributes_belong_to_resources() {
    let validate = |text: &str, path| query(text).unwrap().validate(path);
    let instance = Path::ObjectInstance(3303, 0);
    assert_eq!(validate("pmin=1&con=1&hqmax=3", instance), Ok(()));
    assert_eq!(
        validate("pmin=1&edge=1", instance),
        Err(AttributeError::NeedsResource(AttributeName::Edge))
    );
    assert_eq!(
        validate("pmin=1", Path::Root),
        Err(AttributeError::NeedsObject)
    );
}

#[test]
fn a_useless_maximum_period_is_ignored() {
    let pmax = |text: &str| query(text).unwrap().effective_pmax();
    assert_eq!(pmax("pmin=10&pmax=5"), None);
    assert_eq!(pmax("pmax=0"), None);
    assert_eq!(pmax("pmin=10&pmax=10"), Some(10));
}

#[test]
fn links_are_read_leniently() {
    let links = crate::link::ObjectLinks::parse("</3/0/9>;pmin=10;gt=\"5\";pmax=x;foo").unwrap();
    let attributes = NotificationAttributes::from_link(links.iter().next().unwrap());
    assert_eq!(attributes.pmin, Setting::To(10));
    assert_eq!(attributes.gt, Setting::To(5.0));
    assert_eq!(attributes.pmax, Setting::Unchanged);
}
