#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use super::*;

fn register(query: &str, payload: &str) -> Result<RegisterRequest, RegisterError> {
    RegisterRequest::parse(&query.split('&').collect::<Vec<_>>(), payload.as_bytes())
}

fn update(query: &str, payload: &str) -> Result<UpdateRequest, UpdateError> {
    UpdateRequest::parse(&query.split('&').collect::<Vec<_>>(), payload.as_bytes())
}

#[test]
fn a_complete_register_is_read() {
    let query = "ep=urn:imei:1&lt=300&lwm2m=1.1&b=UT&Q&sms=+491&pid=6:27354b9a&vendor=x";
    let request = register(query, "</0/0>,</1/0>,</3/0>,</21/0>,</23>").unwrap();
    assert_eq!(request.endpoint.unwrap().as_str(), "urn:imei:1");
    assert_eq!(request.lifetime, Some(Lifetime::from_secs(300)));
    assert_eq!(request.version, LwM2mVersion::V1_1);
    assert_eq!(request.binding.to_string(), "UTQ");
    assert_eq!(request.sms.as_deref(), Some("+491"));
    assert_eq!(request.profile_id.as_deref(), Some("6:27354b9a"));
    assert_eq!(request.other_parameters, ["vendor=x"]);
    assert_eq!(request.links.to_string(), "</1/0>,</3/0>");
}

#[test]
fn a_minimal_register_takes_the_defaults() {
    let request = register("lwm2m=1.0", "").unwrap();
    assert_eq!(request.endpoint, None);
    assert_eq!(request.lifetime, None);
    assert_eq!(request.binding, Binding::UDP);
    assert!(request.links.is_empty());
}

#[test]
fn a_queue_mode_of_the_old_form_is_understood_in_new_releases() {
    let request = register("lwm2m=1.1&lt=60&b=UQ", "").unwrap();
    assert_eq!(request.binding, Binding::UDP_QUEUED);
}

#[test]
fn each_defect_of_a_register_has_its_own_error() {
    for (query, error) in [
        ("ep=a&lt=60", RegisterError::MissingVersion),
        ("ep=a&lwm2m=1.1", RegisterError::MissingLifetime),
        ("ep=a&lwm2m=2.0", RegisterError::UnsupportedVersion),
        (
            "lwm2m=1.1&lt=60&ep=",
            RegisterError::Endpoint(EndpointNameError::Empty),
        ),
        (
            "lwm2m=1.1&lt=x",
            ParameterError::Lifetime(LifetimeError).into(),
        ),
        (
            "lwm2m=1.1&lt=6&b=Q",
            ParameterError::Binding(BindingError::NoMode).into(),
        ),
        ("lwm2m=1.1&lt=6&lt=7", ParameterError::Repeated("lt").into()),
    ] {
        assert_eq!(register(query, ""), Err(error), "{query}");
    }
    assert!(matches!(
        register("lwm2m=1.1&lt=6", "</1"),
        Err(RegisterError::Links(_))
    ));
    let many = vec!["x"; MAX_PARAMETERS + 1];
    assert_eq!(
        UpdateRequest::parse(&many, &[]),
        Err(UpdateError::Parameter(ParameterError::TooMany))
    );
}

#[test]
fn an_empty_update_changes_nothing() {
    assert_eq!(update("", "").unwrap(), UpdateRequest::default());
}

#[test]
fn an_update_names_only_what_changes() {
    let request = update("lt=5&ep=a&lwm2m=1.1", "</1/0>").unwrap();
    assert_eq!(request.lifetime, Some(Lifetime::from_secs(5)));
    assert_eq!(request.binding, None);
    assert_eq!(request.links.unwrap().len(), 1);
    assert_eq!(request.other_parameters, ["ep=a", "lwm2m=1.1"]);
    assert!(matches!(update("lt=5", "<"), Err(UpdateError::Links(_))));
}

#[test]
fn the_queue_mode_outlives_an_update_since_1_1() {
    let after = |query: &str, before: Binding, version| {
        let update = update(query, "").unwrap();
        before.changed_to(update.binding.unwrap(), version)
    };
    let queued = Binding::UDP_QUEUED;
    assert_eq!(after("b=U", queued, LwM2mVersion::V1_0), Binding::UDP);
    for version in [LwM2mVersion::V1_1, LwM2mVersion::V1_2] {
        assert_eq!(after("b=U", queued, version), queued);
        assert_eq!(after("b=UT", queued, version).to_string(), "UTQ");
        assert_eq!(after("b=UQ", Binding::UDP, version), queued);
        assert_eq!(after("b=U&Q", Binding::UDP, version), queued);
    }
}
