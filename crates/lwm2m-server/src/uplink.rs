//! What devices send: Register, Update, De-register (LwM2M Core 1.2 §6.2) and Send (§6.4.5).
//!
//! Each becomes a command; the answer waits in [`Awaiting`] until the commit is reported.

use std::net::SocketAddr;

use coap::{Code, ExchangeId, PeerKey, Receipt, Request, Response};
use device_state::{
    Command, Outcome, Quirks, Registration, ShardId, Timestamp, ValueOrigin, new_registration_id,
    registration_shard,
};
use lwm2m::{
    Binding, ChildPrefix, ContentFormat, EndpointName, Entry, Lifetime, LwM2mVersion, Path,
    RegisterRequest, RegistrationId, SampleTime, UpdateRequest, Value, decode_below,
};
use rand::Rng;

use crate::config::Config;
use crate::engine::Engine;
use crate::observation::{Bond, Kept};
use crate::output::{Now, Origin, Output};
use crate::package::PACKAGES;
use crate::response::Refusal;

/// What to answer once a commit is known.
#[derive(Debug)]
pub(crate) enum Awaiting<P> {
    Register {
        exchange: ExchangeId,
        peer: P,
        registration: Box<Registration>,
    },
    Update {
        exchange: ExchangeId,
        peer: P,
        bond: Bond,
        address: SocketAddr,
        id: RegistrationId,
        /// The new object list, if there was one.
        links: Option<String>,
        /// The new transports, if there were any.
        binding: Option<Binding>,
    },
    Deregister {
        exchange: ExchangeId,
        id: RegistrationId,
    },
    Send {
        exchange: ExchangeId,
    },
    /// A notification, which is acknowledged if it was confirmable.
    Notify {
        receipt: Option<Receipt<P>>,
    },
    /// What was learnt of a device: nobody waits, and it is learnt again if it is lost.
    Quirks,
}

impl<P> Awaiting<P> {
    pub(crate) fn exchange(&self) -> Option<ExchangeId> {
        match self {
            Self::Register { exchange, .. }
            | Self::Update { exchange, .. }
            | Self::Deregister { exchange, .. }
            | Self::Send { exchange } => Some(*exchange),
            Self::Notify { .. } | Self::Quirks => None,
        }
    }

    /// Whether the device is here from then on.
    const fn is_of_presence(&self) -> bool {
        matches!(self, Self::Register { .. } | Self::Update { .. })
    }

    pub(crate) fn receipt(&self) -> Option<Receipt<P>>
    where
        P: Copy,
    {
        match self {
            Self::Notify { receipt } => *receipt,
            _ => None,
        }
    }
}

impl<P: PeerKey> Engine<P> {
    pub(crate) fn handle_request(
        &mut self,
        now: Now,
        origin: &Origin,
        peer: P,
        exchange: ExchangeId,
        request: &Request,
    ) {
        if self.awaiting.len() >= self.config.max_pending_commits {
            return self.refuse_for_overload(now, exchange);
        }
        let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
        let refused = match path.as_slice() {
            ["rd"] if request.method == Code::POST => self
                .register(now, origin, peer, exchange, request)
                .inspect_err(|refusal| self.registration_refused(origin, request, refusal)),
            // LwM2M Transport 1.2 §6.4.3: Update is POST; 1.0 drafts used PUT.
            ["rd", id] if request.method == Code::POST => {
                self.update(origin, peer, exchange, id, request)
            }
            ["rd", id] if request.method == Code::DELETE => self.deregister(origin, exchange, id),
            ["dp"] if request.method == Code::POST => self.send(now, peer, exchange, request),
            [PACKAGES, digest] if request.method == Code::GET => {
                self.package(now, exchange, digest)
            }
            ["rd" | "dp"] | ["rd" | PACKAGES, _] => Err(Refusal::MethodNotAllowed),
            _ => Err(Refusal::NotFound),
        };
        if let Err(refusal) = refused {
            self.counters.refused += 1;
            self.respond(now, exchange, refusal.response());
        }
    }

    fn register(
        &mut self,
        now: Now,
        origin: &Origin,
        peer: P,
        exchange: ExchangeId,
        request: &Request,
    ) -> Result<(), Refusal> {
        let register =
            RegisterRequest::parse(&request.query, &request.payload).map_err(Refusal::Register)?;
        let profiles = &self.config.profiles;
        let links = profiles.registered(&register, &request.payload)?;
        let endpoint = self
            .config
            .device(&bound_endpoint(origin, register.endpoint)?);
        if self.devices.len() >= self.config.max_devices {
            self.refuse_for_overload(now, exchange);
            return Ok(());
        }
        let shard = ShardId::of_endpoint(&endpoint, self.config.shards);
        let registration = Box::new(Registration {
            id: new_registration_id(shard, self.registration_random()),
            endpoint,
            identity: origin.principal.identity.clone(),
            owner: self.config.node,
            peer: origin.address,
            transport: origin.transport,
            session: origin.session,
            lifetime: register.lifetime.unwrap_or(Lifetime::DEFAULT),
            version: register.version,
            binding: register.binding,
            links,
            registered_at: now.wall,
            updated_at: now.wall,
            expires_at: Timestamp::NEVER,
            quirks: Quirks::default(),
            enrollment: None,
        });
        let command = Command::Register {
            registration: registration.clone(),
        };
        let id = registration.id.clone();
        let awaiting = Awaiting::Register {
            exchange,
            peer,
            registration,
        };
        let commit = self.commit(shard, command, awaiting);
        self.hold_back(&id, commit);
        Ok(())
    }

    /// Tells of a refused registration by the name that was asked for, and by the one that the device has proved.
    fn registration_refused(&mut self, origin: &Origin, request: &Request, refusal: &Refusal) {
        let asked_for = request
            .query
            .iter()
            .find_map(|parameter| EndpointName::new(parameter.strip_prefix("ep=")?).ok());
        let proved = origin.principal.endpoints.first().cloned();
        let proved = proved.filter(|proved| asked_for.as_ref() != Some(proved));
        for endpoint in asked_for.into_iter().chain(proved) {
            self.tell_refused(endpoint, origin.address, refusal.to_string());
        }
    }

    fn update(
        &mut self,
        origin: &Origin,
        peer: P,
        exchange: ExchangeId,
        id: &str,
        request: &Request,
    ) -> Result<(), Refusal> {
        let (id, shard) = self.located(id)?;
        let update =
            UpdateRequest::parse(&request.query, &request.payload).map_err(Refusal::Update)?;
        let device = self.devices.get(&id);
        let links = self.config.profiles.updated(
            device.map_or(LwM2mVersion::V1_2, |device| device.version),
            device.and_then(|device| device.own_links.as_deref()),
            &update,
            &request.payload,
        )?;
        let command = Command::Update {
            namespace: self.config.namespace.clone(),
            id: id.clone(),
            identity: origin.principal.identity.clone(),
            owner: self.config.node,
            peer: origin.address,
            transport: Some(origin.transport),
            session: origin.session,
            lifetime: update.lifetime,
            binding: update.binding,
            links: links.clone(),
        };
        let awaiting = Awaiting::Update {
            exchange,
            peer,
            bond: Bond::of(origin.transport, &origin.principal.identity),
            address: origin.address,
            id: id.clone(),
            links,
            binding: update.binding,
        };
        self.commit_told(&id, shard, command, awaiting);
        Ok(())
    }

    fn deregister(
        &mut self,
        origin: &Origin,
        exchange: ExchangeId,
        id: &str,
    ) -> Result<(), Refusal> {
        let (id, shard) = self.located(id)?;
        let command = Command::Deregister {
            namespace: self.config.namespace.clone(),
            id: id.clone(),
            identity: origin.principal.identity.clone(),
        };
        self.commit(shard, command, Awaiting::Deregister { exchange, id });
        Ok(())
    }

    fn send(
        &mut self,
        now: Now,
        peer: P,
        exchange: ExchangeId,
        request: &Request,
    ) -> Result<(), Refusal> {
        let (id, device) = self.devices.at_peer_mut(peer).ok_or(Refusal::NotFound)?;
        let format = request
            .content_format
            .map(ContentFormat)
            .ok_or(Refusal::UnsupportedFormat)?;
        // LwM2M Core 1.2 §6.4.6: formats that name absolute paths.
        if !matches!(
            format,
            ContentFormat::SENML_CBOR | ContentFormat::SENML_JSON | ContentFormat::LWM2M_CBOR
        ) {
            return Err(Refusal::UnsupportedFormat);
        }
        let root = &device.alternate_path;
        let entries = decode_below(
            root,
            format,
            Path::Root,
            &request.payload,
            &self.definitions,
        )
        .map_err(|error| Refusal::BadPayload(error.to_string()))?;
        // LwM2M Core 1.2 §6.4.6: only of objects that the client registered.
        let registered = |entry: &Entry| {
            let object = entry.path.object_id();
            object.is_some_and(|object| device.objects.binary_search(&object).is_ok())
        };
        // A device that lists nothing may have anything.
        if !device.objects.is_empty() && !entries.iter().all(registered) {
            return Err(Refusal::NotFound);
        }
        device.take_report(&entries);
        let (id, endpoint) = (id.clone(), device.endpoint.clone());
        let (shard, command) = record_values(
            &self.config,
            (&endpoint, None),
            id.clone(),
            ValueOrigin::Send,
            entries,
            now.wall,
        );
        self.commit_told(&id, shard, command, Awaiting::Send { exchange });
        Ok(())
    }

    /// Random bits of a registration id. The lowest byte names the worker, so that operations find it at once.
    fn registration_random(&mut self) -> u64 {
        self.rng.random::<u64>() & !0xff | u64::from(self.config.worker)
    }

    /// The registration that a location names, with its shard.
    fn located(&self, id: &str) -> Result<(RegistrationId, ShardId), Refusal> {
        let id = RegistrationId::new(id).map_err(|_| Refusal::NotFound)?;
        let shard = registration_shard(&id)
            .filter(|shard| shard.0 < self.config.shards)
            .ok_or(Refusal::NotFound)?;
        Ok((id, shard))
    }

    /// A commit succeeded: now, and not before, the device is told.
    pub(crate) fn resolve(&mut self, now: Now, awaiting: Awaiting<P>, outcome: Outcome) {
        // Whoever is gone meanwhile hears no answer, and cannot be asked for anything where it was.
        let is_gone = |exchange| !self.coap.is_waiting(exchange);
        if awaiting.is_of_presence() && awaiting.exchange().is_some_and(is_gone) {
            return;
        }
        match (awaiting, outcome) {
            (
                Awaiting::Register {
                    exchange,
                    peer,
                    mut registration,
                },
                Outcome::Registered {
                    id,
                    expires_at,
                    observations,
                    quirks,
                    moved_from,
                },
            ) => {
                registration.id = id.clone();
                registration.expires_at = expires_at;
                registration.quirks = quirks;
                let location_path = vec!["rd".to_owned(), id.as_str().to_owned()];
                self.respond(
                    now,
                    exchange,
                    Response {
                        location_path,
                        ..Response::new(Code::CREATED_2_01)
                    },
                );
                self.take_on(now, peer, &registration, &observations);
                if let Some(from) = moved_from {
                    self.came_from(now, &registration.endpoint.endpoint(), from);
                }
            }
            (
                Awaiting::Update {
                    exchange,
                    peer,
                    bond,
                    address,
                    id,
                    links,
                    binding,
                },
                Outcome::Updated {
                    expires_at,
                    observations,
                    moved_from,
                    ..
                },
            ) => {
                self.respond(now, exchange, Response::new(Code::CHANGED_2_04));
                if let Some(device) = self.devices.get_mut(&id) {
                    if let Some(links) = &links {
                        device.take_links(links);
                    }
                    if let Some(binding) = binding {
                        device.take_binding(now, binding);
                    }
                    self.renew(now, &id, (peer, bond, address), expires_at, &observations);
                } else {
                    self.outputs.push_back(Output::LookUp {
                        registration: id,
                        peer,
                        observations,
                        moved_from,
                    });
                }
            }
            (Awaiting::Deregister { exchange, id }, Outcome::Deregistered { .. }) => {
                self.respond(now, exchange, Response::new(Code::DELETED_2_02));
                if let Some(device) = self.devices.remove(&id) {
                    self.end_observations(&device);
                }
            }
            (Awaiting::Send { exchange }, _) => {
                self.respond(now, exchange, Response::new(Code::CHANGED_2_04));
            }
            (Awaiting::Notify { receipt }, _) => self.settle_notification(now, receipt, Kept::Yes),
            (awaiting, _) => {
                // The state tier answered something that the command cannot lead to.
                if let Some(exchange) = awaiting.exchange() {
                    self.respond(
                        now,
                        exchange,
                        Response::new(Code::INTERNAL_SERVER_ERROR_5_00),
                    );
                }
            }
        }
    }
}

/// LwM2M Core 1.2 §6.2.1: the endpoint name may be left out where the security context names it, and must be the one
/// that the credential is bound to.
pub(crate) fn bound_endpoint(
    origin: &Origin,
    given: Option<EndpointName>,
) -> Result<EndpointName, Refusal> {
    let bound = &origin.principal.endpoints;
    match (given, bound.first()) {
        (Some(given), Some(_)) if !bound.contains(&given) => Err(Refusal::WrongEndpoint),
        (Some(given), _) => Ok(given),
        (None, Some(first)) => Ok(first.clone()),
        (None, None) => Err(Refusal::NoEndpoint),
    }
}

/// The command that keeps what a device reported of itself, or of one behind it.
pub(crate) fn record_values(
    config: &Config,
    (endpoint, child): (&EndpointName, Option<ChildPrefix>),
    registration: RegistrationId,
    origin: ValueOrigin,
    entries: Vec<Entry>,
    wall: Timestamp,
) -> (ShardId, Command) {
    let now_millis = i64::try_from(wall.0).unwrap_or(i64::MAX);
    let values: Vec<(Path, Value, Timestamp)> = entries
        .into_iter()
        .map(|entry| {
            let at = entry
                .time
                .map_or(now_millis, |time: SampleTime| time.resolve(now_millis));
            (
                entry.path,
                entry.value,
                Timestamp(u64::try_from(at).unwrap_or(0)),
            )
        })
        .collect();
    let endpoint = config.device(endpoint);
    let shard = ShardId::of_endpoint(&endpoint, config.shards);
    (
        shard,
        Command::RecordValues {
            endpoint,
            registration,
            child,
            origin,
            values,
        },
    )
}
