//! What a device says when it registers and when it updates its registration.

use thiserror::Error;

use crate::binding::{Binding, BindingError, QueueMode};
use crate::link::{Link, LinkError, ObjectLinks};
use crate::names::{EndpointName, EndpointNameError, Lifetime, LifetimeError, LwM2mVersion};
use crate::path::Path;

/// The most query parameters that a registration may have.
pub const MAX_PARAMETERS: usize = 64;

/// Objects that are never part of a registration: Security, OSCORE and COSE hold credentials.
pub const UNREGISTERED_OBJECTS: [u16; 3] = [0, 21, 23];

/// A Register request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterRequest {
    /// The name of the device; the identity of the secured session stands in for an absent one.
    pub endpoint: Option<EndpointName>,
    /// How long the registration lives; only a LwM2M 1.0 device may leave it out and then means
    /// [`Lifetime::DEFAULT`].
    pub lifetime: Option<Lifetime>,
    /// The LwM2M release the device speaks.
    pub version: LwM2mVersion,
    /// The transports of the device and whether it sleeps.
    pub binding: Binding,
    /// The telephone number for SMS.
    pub sms: Option<String>,
    /// The profile that stands for a list of objects (LwM2M 1.2).
    pub profile_id: Option<String>,
    /// The objects of the device, and the alternate path they lie under; empty if the payload is.
    pub links: ObjectLinks,
    /// Parameters that no release defines, as they were sent.
    pub other_parameters: Vec<String>,
}

/// Why a Register cannot be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RegisterError {
    /// `lwm2m` is absent.
    #[error("registration without lwm2m version")]
    MissingVersion,
    /// `lwm2m` names a release that is not supported. The answer 4.12 lets the device try an older
    /// one.
    #[error("registration with an unsupported lwm2m version")]
    UnsupportedVersion,
    /// `lt` is absent.
    #[error("registration without lifetime")]
    MissingLifetime,
    /// `ep` is malformed.
    #[error("registration with a bad endpoint name: {0}")]
    Endpoint(#[source] EndpointNameError),
    /// A parameter that Register and Update share is malformed.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// The object list is malformed.
    #[error("registration with a bad object list: {0}")]
    Links(#[source] LinkError),
}

/// Why a query parameter of a Register or Update is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ParameterError {
    /// There are more than [`MAX_PARAMETERS`] parameters.
    #[error("registration with more than 64 parameters")]
    TooMany,
    /// The parameter is there more than once.
    #[error("registration repeats parameter {0}")]
    Repeated(&'static str),
    /// `lt` is malformed.
    #[error("registration with a bad lifetime: {0}")]
    Lifetime(#[source] LifetimeError),
    /// `b` is malformed.
    #[error("registration with a bad binding: {0}")]
    Binding(#[source] BindingError),
}

/// An Update request. What is absent stays as it was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UpdateRequest {
    /// The new lifetime.
    pub lifetime: Option<Lifetime>,
    /// The new transports; see [`Binding::changed_to`] for the queue mode.
    pub binding: Option<Binding>,
    /// The new telephone number for SMS.
    pub sms: Option<String>,
    /// The new profile.
    pub profile_id: Option<String>,
    /// The new objects, all of them.
    pub links: Option<ObjectLinks>,
    /// Parameters that an Update does not define, as they were sent.
    pub other_parameters: Vec<String>,
}

/// Why an Update cannot be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UpdateError {
    /// A parameter is malformed.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// The object list is malformed.
    #[error("update with a bad object list: {0}")]
    Links(#[source] LinkError),
}

impl RegisterRequest {
    /// Reads the Uri-Query options and the payload of a Register.
    pub fn parse(query: &[impl AsRef<str>], payload: &[u8]) -> Result<Self, RegisterError> {
        let parameters = Parameters::parse(query)?;
        // The version comes first: with another version, other rules hold for all the rest.
        let version = parameters.version.ok_or(RegisterError::MissingVersion)?;
        let version = version
            .parse()
            .map_err(|_| RegisterError::UnsupportedVersion)?;
        let lifetime = parameters.lifetime()?;
        // LwM2M-Core 1.0 §5.3.1 makes lt optional, 1.1 and later make it mandatory.
        if lifetime.is_none() && version > LwM2mVersion::V1_0 {
            return Err(RegisterError::MissingLifetime);
        }
        let endpoint = parameters.endpoint.map(EndpointName::new).transpose();
        let binding = parameters.binding()?.unwrap_or_default();
        let queue = binding.queue_mode().max(parameters.queue_mode);
        Ok(Self {
            endpoint: endpoint.map_err(RegisterError::Endpoint)?,
            lifetime,
            version,
            binding: binding.with_queue_mode(queue),
            sms: parameters.sms.map(str::to_owned),
            profile_id: parameters.profile_id.map(str::to_owned),
            links: parse_links(payload).map_err(RegisterError::Links)?,
            other_parameters: parameters.other,
        })
    }
}

impl UpdateRequest {
    /// Reads the Uri-Query options and the payload of an Update.
    pub fn parse(query: &[impl AsRef<str>], payload: &[u8]) -> Result<Self, UpdateError> {
        let mut parameters = Parameters::parse(query)?;
        // An Update has neither of the two; some clients repeat them from the Register.
        for (name, value) in [("ep", parameters.endpoint), ("lwm2m", parameters.version)] {
            parameters
                .other
                .extend(value.map(|value| format!("{name}={value}")));
        }
        let links = (!payload.is_empty())
            .then(|| parse_links(payload))
            .transpose();
        let binding = parameters.binding()?.map(|binding| {
            let queue = binding.queue_mode().max(parameters.queue_mode);
            binding.with_queue_mode(queue)
        });
        Ok(Self {
            lifetime: parameters.lifetime()?,
            binding,
            sms: parameters.sms.map(str::to_owned),
            profile_id: parameters.profile_id.map(str::to_owned),
            links: links.map_err(UpdateError::Links)?,
            other_parameters: parameters.other,
        })
    }
}

fn parse_links(payload: &[u8]) -> Result<ObjectLinks, LinkError> {
    let mut links = ObjectLinks::parse_bytes(payload)?;
    let registered = |link: &Link| match link.path {
        Path::Root => true,
        path => path
            .object_id()
            .is_some_and(|id| !UNREGISTERED_OBJECTS.contains(&id)),
    };
    links.retain(registered);
    Ok(links)
}

#[derive(Default)]
struct Parameters<'a> {
    endpoint: Option<&'a str>,
    lifetime: Option<&'a str>,
    version: Option<&'a str>,
    binding: Option<&'a str>,
    queue_mode: QueueMode,
    sms: Option<&'a str>,
    profile_id: Option<&'a str>,
    other: Vec<String>,
}

impl<'a> Parameters<'a> {
    fn parse(query: &'a [impl AsRef<str>]) -> Result<Self, ParameterError> {
        if query.len() > MAX_PARAMETERS {
            return Err(ParameterError::TooMany);
        }
        let mut parameters = Self::default();
        for parameter in query.iter().map(AsRef::as_ref) {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let (name, slot) = match key {
                "ep" => ("ep", &mut parameters.endpoint),
                "lt" => ("lt", &mut parameters.lifetime),
                "lwm2m" => ("lwm2m", &mut parameters.version),
                "b" => ("b", &mut parameters.binding),
                "sms" => ("sms", &mut parameters.sms),
                "pid" => ("pid", &mut parameters.profile_id),
                "Q" => {
                    parameters.queue_mode = QueueMode::On;
                    continue;
                }
                "" => continue,
                _ => {
                    parameters.other.push(parameter.to_owned());
                    continue;
                }
            };
            if slot.replace(value).is_some() {
                return Err(ParameterError::Repeated(name));
            }
        }
        Ok(parameters)
    }

    fn lifetime(&self) -> Result<Option<Lifetime>, ParameterError> {
        let lifetime = self.lifetime.map(str::parse).transpose();
        lifetime.map_err(ParameterError::Lifetime)
    }

    fn binding(&self) -> Result<Option<Binding>, ParameterError> {
        let binding = self.binding.map(str::parse).transpose();
        binding.map_err(ParameterError::Binding)
    }
}

#[cfg(test)]
mod tests;
