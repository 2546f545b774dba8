//! Who registers what.

use coap::{Code, Request};
use device_state::SecurityIdentity;
use lwm2m::EndpointName;
use lwm2m_server::Principal;

use crate::scripted::{Scripted, endpoint};

/// A device whose certificate has these names.
fn certified(names: &[&str]) -> Scripted {
    let endpoints = names.iter().map(|name| EndpointName::new(name).unwrap());
    let principal = Principal {
        endpoints: endpoints.collect(),
        identity: SecurityIdentity::CertificateNames(
            names.iter().map(|&name| name.to_owned()).collect(),
        ),
    };
    Scripted::of(principal, |_| None)
}

fn register(device: &mut Scripted, name: Option<&str>) -> Code {
    let mut query = vec!["lwm2m=1.1".to_owned(), "lt=300".to_owned()];
    query.extend(name.map(|name| format!("ep={name}")));
    let register = Request {
        query,
        payload: b"</3/0>".to_vec(),
        ..Request::new(Code::POST, ["rd"])
    };
    device.uplink(register).code
}

#[test]
fn a_certificate_registers_each_endpoint_that_it_names_and_no_other() {
    let names = [endpoint().to_string(), "urn:dev:ops:7".to_owned()];
    let mut device = certified(&names.each_ref().map(String::as_str));
    let other = register(&mut device, Some("another-device"));
    assert_eq!(other, Code::FORBIDDEN_4_03);
    assert_eq!(
        register(&mut device, Some("urn:dev:ops:7")),
        Code::CREATED_2_01
    );
    assert_eq!(
        register(&mut device, Some(endpoint().as_str())),
        Code::CREATED_2_01
    );
}

#[test]
fn a_device_that_does_not_name_itself_is_what_its_certificate_names_first() {
    let name = endpoint().to_string();
    let mut device = certified(&[&name, "urn:dev:ops:7"]);
    assert_eq!(register(&mut device, None), Code::CREATED_2_01);
    assert_eq!(device.registration().endpoint.endpoint(), endpoint());
    let mut nobody = Scripted::of(Principal::anyone(), |_| None);
    assert_eq!(register(&mut nobody, None), Code::BAD_REQUEST_4_00);
}
