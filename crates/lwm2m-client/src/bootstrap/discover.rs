//! The answer to Bootstrap-Discover (LwM2M Core 1.2 §6.1.7), in the forms that clients give it.

use lwm2m::{LwM2mVersion, Path, Value};

use super::config::DiscoverForm;
use super::store::{ACCESS_CONTROL, OSCORE, SECURITY, SERVER, Store};
use crate::refusal::Refusal;

/// Objects of the device that have one instance here.
const SINGLE_OBJECTS: [u16; 3] = [3, 4, 5];

/// What there is at and below a path: the root or an object.
pub(super) fn discover(
    store: &Store,
    path: Path,
    version: LwM2mVersion,
    form: DiscoverForm,
) -> Result<String, Refusal> {
    if form == DiscoverForm::Refused || path.depth() > 1 {
        return Err(Refusal::NotAllowed(path));
    }
    let version = version.as_str();
    let root = match form {
        DiscoverForm::Old => format!("lwm2m=\"{version}\""),
        _ => format!("</>;lwm2m={version}"),
    };
    let mut items = vec![root];
    for object in [SECURITY, SERVER, ACCESS_CONTROL, OSCORE] {
        for instance in store.instances(object) {
            let at = Path::ObjectInstance(object, instance);
            if at.starts_with(path) {
                items.push(item(store, at, form));
            }
        }
    }
    for object in SINGLE_OBJECTS {
        if path.object_id().is_none_or(|wanted| wanted == object) {
            items.push(match form {
                // An object that has no instance yet.
                DiscoverForm::Slashes if object == 5 => format!("</{object}>"),
                DiscoverForm::Slashes => format!("</{object}/0/>"),
                _ => format!("</{object}/0>"),
            });
        }
    }
    Ok(items.join(","))
}

fn item(store: &Store, at: Path, form: DiscoverForm) -> String {
    let slash = match form {
        DiscoverForm::Slashes => "/",
        _ => "",
    };
    let id = match short_server_id(store, at) {
        Some(id) => format!(";ssid={id}"),
        None => String::new(),
    };
    let uri = match (form, uri(store, at)) {
        (DiscoverForm::New, Some(uri)) => format!(";uri=\"{uri}\""),
        _ => String::new(),
    };
    format!("<{at}{slash}>{id}{uri}")
}

/// The short server id of the account that an instance belongs to; the bootstrap account has none.
fn short_server_id(store: &Store, at: Path) -> Option<i64> {
    let path = match at {
        Path::ObjectInstance(SECURITY, id) => Path::Resource(SECURITY, id, 10),
        Path::ObjectInstance(SERVER, id) => Path::Resource(SERVER, id, 0),
        Path::ObjectInstance(OSCORE, id) => {
            let mut security = store.instances(SECURITY).into_iter();
            let security = security.find(|security| store.oscore_of(*security) == Some(id))?;
            Path::Resource(SECURITY, security, 10)
        }
        _ => return None,
    };
    match store.value(path)? {
        Value::Integer(id) => Some(*id),
        _ => None,
    }
}

fn uri(store: &Store, at: Path) -> Option<&str> {
    let Path::ObjectInstance(SECURITY, id) = at else {
        return None;
    };
    match store.value(Path::Resource(SECURITY, id, 0))? {
        Value::String(uri) => Some(uri),
        _ => None,
    }
}
