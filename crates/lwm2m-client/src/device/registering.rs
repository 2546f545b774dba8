//! Register, Update, De-register (LwM2M Core 1.2 §6.2, Transport 1.2 §6.4.3).

use std::time::{Duration, Instant};

use coap::{Code, ExchangeId, Failure, Request, Response};
use lwm2m::{Binding, ContentFormat, Lifetime, LwM2mVersion, QueueMode, Value};

use super::Towards;
use crate::config::ProfileId;
use crate::objects::server::{BINDING, DISABLE_TIMEOUT, LIFETIME};
use crate::output::{Event, RegistrationFailure, SendFailure};
use crate::registration::{
    Announced, ProfileUse, Registered, Registration, asked_wait, backoff, update_after,
};

/// `/1/0/5` if it is not set.
const DEFAULT_DISABLE_TIMEOUT: Duration = Duration::from_hours(24);

impl Towards<'_> {
    /// Ends the registration and then is off; [`Event::Deregistered`] follows in any case.
    pub fn deregister(&mut self, now: Instant) {
        self.leave(now, None);
    }

    /// LwM2M Core 1.2 §6.2.3 and the Server object: a disabled device deregisters, and registers
    /// again after the Disable Timeout.
    pub(super) fn disable(&mut self, now: Instant) {
        let timeout = match self.body.tree.value(self.link.at(DISABLE_TIMEOUT)) {
            Some(Value::Integer(secs)) => u32::try_from(*secs).ok(),
            _ => None,
        };
        let pause = timeout.map_or(DEFAULT_DISABLE_TIMEOUT, |secs| {
            Duration::from_secs(u64::from(secs))
        });
        self.leave(now, Some(pause));
    }

    fn leave(&mut self, now: Instant, pause: Option<Duration>) {
        if let Some(exchange) = self.link.registration.exchange() {
            if matches!(self.link.registration, Registration::Deregistering { .. }) {
                return;
            }
            self.link.coap.cancel(exchange);
        }
        let location = self
            .link
            .registration
            .registered()
            .map(|registered| registered.location.clone());
        let exchange = location.and_then(|location| {
            let request = Request::new(Code::DELETE, location);
            self.link
                .coap
                .send_request(now, self.link.session, request)
                .ok()
        });
        match exchange {
            Some(exchange) => {
                self.link.registration = Registration::Deregistering { exchange, pause }
            }
            None => self.deregistered(now, pause),
        }
        self.drain_coap(now);
    }

    /// Sends an Update now, if the device is registered and no Update is under way.
    pub fn update(&mut self, now: Instant) {
        if let Registration::Registered(registered) = &self.link.registration {
            let registered = registered.clone();
            self.send_update(now, registered);
            self.drain_coap(now);
        }
    }

    pub(super) fn register(&mut self, now: Instant, failures: u32) {
        // LwM2M Core 1.2 §6.2.1: a registration begins without observations.
        self.end_all_observations();
        let announced = self.announcement();
        let mut query = vec![
            format!("ep={}", self.body.config.endpoint),
            format!("lt={}", announced.lifetime),
            format!("lwm2m={}", self.body.config.version.as_str()),
        ];
        query.extend(self.binding_query(announced.binding));
        let mut request = Request::new(Code::POST, ["rd"]);
        let links = match self.profile_id() {
            None => Some(self.body.tree.registration_links()),
            Some(profile) => {
                query.push(format!("pid={}", profile.id));
                let besides = |id| profile.besides.contains(&id);
                (!profile.besides.is_empty()).then(|| self.body.tree.links_of(besides))
            }
        };
        if let Some(links) = links {
            request.content_format = Some(ContentFormat::LINK.0);
            request.payload = links.to_string().into_bytes();
        }
        request.query = query;
        self.link.registration =
            if let Ok(exchange) = self.link.coap.send_request(now, self.link.session, request) {
                Registration::Registering {
                    exchange,
                    failures,
                    announced,
                }
            } else {
                let failures = failures.saturating_add(1);
                let until = now + backoff(self.body.config.retry, failures, &mut self.body.rng);
                Registration::Waiting { until, failures }
            };
    }

    /// What the device registers with in place of its objects.
    fn profile_id(&self) -> Option<&ProfileId> {
        let profile = self.body.config.profile_id.as_ref();
        profile.filter(|_| {
            self.body.config.version >= LwM2mVersion::V1_2
                && self.link.profile_use == ProfileUse::Offered
        })
    }

    fn send_update(&mut self, now: Instant, mut registered: Registered) {
        let announced = self.announcement();
        let known = registered.announced;
        let mut request = Request::new(Code::POST, registered.location.clone());
        if announced.lifetime != known.lifetime {
            request.query.push(format!("lt={}", announced.lifetime));
        }
        if announced.binding != known.binding {
            request
                .query
                .push(format!("b={}", self.binding_text(announced.binding)));
        }
        if announced.objects != known.objects {
            request.content_format = Some(ContentFormat::LINK.0);
            request.payload = self.body.tree.registration_links().to_string().into_bytes();
        }
        self.link.registration =
            if let Ok(exchange) = self.link.coap.send_request(now, self.link.session, request) {
                Registration::Updating {
                    exchange,
                    registered,
                    announced,
                }
            } else {
                let wait = backoff(self.body.config.retry, 1, &mut self.body.rng);
                registered.update_at = Some(now + wait);
                Registration::Registered(registered)
            };
    }

    /// Tells the server if something that a registration says has changed.
    pub(super) fn update_if_stale(&mut self, now: Instant) {
        if let Registration::Registered(registered) = &self.link.registration
            && registered.announced != self.announcement()
        {
            let registered = registered.clone();
            self.send_update(now, registered);
        }
    }

    pub(super) fn registration_timed_out(&mut self, now: Instant) {
        if self.link.registration.timeout().is_none_or(|at| at > now) {
            return;
        }
        match &self.link.registration {
            Registration::Waiting { failures, .. } => {
                let failures = *failures;
                self.register(now, failures);
            }
            Registration::Registered(registered) => {
                let registered = registered.clone();
                self.send_update(now, registered);
            }
            _ => {}
        }
    }

    pub(super) fn handle_response(
        &mut self,
        now: Instant,
        exchange: ExchangeId,
        response: Result<&Response, Failure>,
    ) {
        if self.link.registration.exchange() == Some(exchange) {
            match std::mem::replace(&mut self.link.registration, Registration::Off) {
                Registration::Registering {
                    failures,
                    announced,
                    ..
                } => {
                    self.register_answered(now, failures, announced, response);
                }
                Registration::Updating {
                    registered,
                    announced,
                    ..
                } => {
                    self.update_answered(now, registered, announced, response);
                }
                Registration::Deregistering { pause, .. } => self.deregistered(now, pause),
                other => self.link.registration = other,
            }
        } else if let Some(index) = self.link.sends.iter().position(|known| *known == exchange) {
            self.link.sends.swap_remove(index);
            self.event(match response {
                Ok(response) if response.code.is_success() => Event::Sent,
                Ok(response) => Event::SendFailed {
                    reason: SendFailure::Refused(response.code),
                },
                Err(_) => Event::SendFailed {
                    reason: SendFailure::NoAnswer,
                },
            });
        }
    }

    fn register_answered(
        &mut self,
        now: Instant,
        failures: u32,
        announced: Announced,
        response: Result<&Response, Failure>,
    ) {
        if let Ok(response) = response
            && response.code == Code::CREATED_2_01
            && !response.location_path.is_empty()
        {
            let location = response.location_path.clone();
            self.event(Event::Registered {
                location: format!("/{}", location.join("/")),
            });
            self.registered(
                now,
                Registered {
                    location,
                    announced,
                    update_at: None,
                },
            );
            return;
        }
        let failures = failures.saturating_add(1);
        let (reason, asked) = self.failure(response);
        if self.profile_id().is_some() && asked.is_none() && response.is_ok() {
            // LwM2M Core 1.2 §6.2.1: a server that cannot tell the objects from the id answers an
            // error, and the client registers again with all of them.
            self.link.profile_use = ProfileUse::Refused;
            self.event(Event::RegistrationFailed {
                reason,
                retry_at: now,
            });
            self.register(now, failures);
            return;
        }
        let wait =
            asked.unwrap_or_else(|| backoff(self.body.config.retry, failures, &mut self.body.rng));
        let retry_at = now + wait;
        self.link.registration = Registration::Waiting {
            until: retry_at,
            failures,
        };
        self.event(Event::RegistrationFailed { reason, retry_at });
    }

    fn update_answered(
        &mut self,
        now: Instant,
        registered: Registered,
        announced: Announced,
        response: Result<&Response, Failure>,
    ) {
        if response.is_ok_and(|response| response.code == Code::CHANGED_2_04) {
            self.event(Event::Updated);
            self.registered(
                now,
                Registered {
                    announced,
                    ..registered
                },
            );
            return;
        }
        let (reason, asked) = self.failure(response);
        if let Some(wait) = asked {
            // The server still knows the device, it only has no time.
            let retry_at = now + wait;
            let update_at = Some(retry_at);
            self.link.registration = Registration::Registered(Registered {
                update_at,
                ..registered
            });
            self.event(Event::UpdateFailed { reason, retry_at });
            return;
        }
        self.event(Event::UpdateFailed {
            reason,
            retry_at: now,
        });
        // LwM2M Core 1.2 §6.2.2: a device that is not known registers again.
        self.register(now, 0);
    }

    fn registered(&mut self, now: Instant, registered: Registered) {
        let lifetime = registered.announced.lifetime;
        let wait = update_after(
            lifetime,
            self.body.config.update_interval,
            &mut self.body.rng,
        );
        let update_at = wait.and_then(|wait| now.checked_add(wait));
        self.link.registration = Registration::Registered(Registered {
            update_at,
            ..registered
        });
        self.update_if_stale(now);
    }

    fn deregistered(&mut self, now: Instant, pause: Option<Duration>) {
        self.forget_session();
        if let Some(until) = pause.and_then(|pause| now.checked_add(pause)) {
            self.link.registration = Registration::Waiting { until, failures: 0 };
        }
        self.event(Event::Deregistered);
    }

    /// Why it failed, and how long the server asked to wait.
    fn failure(
        &mut self,
        response: Result<&Response, Failure>,
    ) -> (RegistrationFailure, Option<Duration>) {
        match response {
            Ok(response) => {
                let asked = (response.code == Code::SERVICE_UNAVAILABLE_5_03)
                    .then(|| asked_wait(response.max_age, &mut self.body.rng));
                (RegistrationFailure::Refused(response.code), asked)
            }
            Err(_) => (RegistrationFailure::NoAnswer, None),
        }
    }

    fn announcement(&self) -> Announced {
        let lifetime = match self.body.tree.value(self.link.at(LIFETIME)) {
            Some(Value::Integer(secs)) => u32::try_from(*secs).ok().map(Lifetime::from_secs),
            _ => None,
        };
        let binding = match self.body.tree.value(self.link.at(BINDING)) {
            Some(Value::String(text)) => text.parse().ok(),
            _ => None,
        };
        Announced {
            lifetime: lifetime.unwrap_or(self.link.lifetime),
            binding: self.with_queue_mode(binding.unwrap_or(self.body.config.binding)),
            objects: self.body.tree.revision(),
        }
    }

    /// `/1/0/7` says nothing of the queue mode from LwM2M 1.1 on.
    fn with_queue_mode(&self, binding: Binding) -> Binding {
        match self.body.config.version {
            LwM2mVersion::V1_0 => binding,
            LwM2mVersion::V1_1 | LwM2mVersion::V1_2 => {
                binding.with_queue_mode(self.body.config.binding.queue_mode())
            }
        }
    }

    fn binding_text(&self, binding: Binding) -> String {
        crate::objects::binding_text(binding, self.body.config.version)
    }

    fn binding_query(&self, binding: Binding) -> Vec<String> {
        let mut query = vec![format!("b={}", self.binding_text(binding))];
        // LwM2M Core 1.1 §6.2.1: the queue mode is a parameter of its own.
        if binding.queue_mode() == QueueMode::On && self.body.config.version > LwM2mVersion::V1_0 {
            query.push("Q".to_owned());
        }
        query
    }
}
