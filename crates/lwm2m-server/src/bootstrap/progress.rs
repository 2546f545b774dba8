//! How a bootstrap goes from one stage to the next.
//!
//! 1. `Preparing`: the plan is there; the request is answered 2.04, or for a pack 2.05.
//! 2. `Accepting`: a client ignores what comes before the 2.04 to its request (LwM2M Core 1.2 §6.1.7), so the first step
//!    waits until that was sent, or acknowledged if it is a confirmable message of its own.
//! 3. `Stepping`: one request at a time, until the answer to Finish.

use coap::{Code, ExchangeId, Failure, PeerKey, Response, SendError};

use super::engine::BootstrapEngine;
use super::output::{
    BootstrapId, BootstrapMethod, BootstrapOutcome, BootstrapOutput, PrepareError, StepResult,
};
use super::plan::{BootstrapPlan, PlanError};
use super::run::{Run, Verdict};
use super::table::{Bootstrap, Stage};
use crate::output::Now;
use crate::response::unprepared;

impl<P: PeerKey> BootstrapEngine<P> {
    /// The plan asked for by [`BootstrapOutput::Prepare`]. An unknown id is ignored: that bootstrap has ended.
    pub fn handle_prepared(
        &mut self,
        now: Now,
        id: BootstrapId,
        result: Result<BootstrapPlan, PrepareError>,
    ) {
        let Some((mut bootstrap, stage)) = self.bootstraps.take(id) else {
            return;
        };
        let Stage::Preparing { exchange, method } = stage else {
            self.bootstraps.insert(bootstrap, stage);
            return;
        };
        bootstrap.deadline = bootstrap.ends_at;
        match result {
            Err(PrepareError::Unavailable) => self.give_up_preparing(now, bootstrap, exchange),
            Err(error) => {
                self.counters.refused += 1;
                self.coap.respond(now.instant, exchange, unprepared(error));
                self.conclude(now, bootstrap, BootstrapOutcome::NotPrepared(error));
            }
            Ok(plan) => match (plan.validate(), method) {
                (Err(error), _) => self.refuse_plan(now, bootstrap, exchange, error),
                (Ok(()), BootstrapMethod::Sequence) => self.accept(now, bootstrap, exchange, plan),
                (Ok(()), BootstrapMethod::Pack) => self.pack(now, bootstrap, exchange, &plan),
            },
        }
        self.drain_coap(now, None);
    }

    fn give_up_preparing(&mut self, now: Now, bootstrap: Bootstrap<P>, exchange: ExchangeId) {
        self.refuse_for_overload(now, exchange);
        let outcome = BootstrapOutcome::NotPrepared(PrepareError::Unavailable);
        self.conclude(now, bootstrap, outcome);
    }

    fn refuse_plan(
        &mut self,
        now: Now,
        bootstrap: Bootstrap<P>,
        exchange: ExchangeId,
        error: PlanError,
    ) {
        let response = Response::new(Code::INTERNAL_SERVER_ERROR_5_00);
        self.coap.respond(now.instant, exchange, response);
        self.conclude(now, bootstrap, BootstrapOutcome::BadPlan(error));
    }

    fn accept(
        &mut self,
        now: Now,
        bootstrap: Bootstrap<P>,
        exchange: ExchangeId,
        plan: BootstrapPlan,
    ) {
        let run = Run::new(plan, bootstrap.preferred_format);
        let stage = Stage::Accepting { exchange, run };
        self.bootstraps.insert(bootstrap, stage);
        let response = Response::new(Code::CHANGED_2_04);
        self.coap.respond(now.instant, exchange, response);
    }

    fn pack(
        &mut self,
        now: Now,
        bootstrap: Bootstrap<P>,
        exchange: ExchangeId,
        plan: &BootstrapPlan,
    ) {
        if !plan.packs {
            // LwM2M Core 1.2 §6.1.7, Bootstrap-Pack-Request: the device goes on with a Bootstrap-Request.
            let response = Response::new(Code::METHOD_NOT_ALLOWED_4_05);
            self.coap.respond(now.instant, exchange, response);
            return self.conclude(now, bootstrap, BootstrapOutcome::PackRefused);
        }
        let format = bootstrap
            .preferred_format
            .unwrap_or(lwm2m::ContentFormat::SENML_CBOR);
        let payload = match plan.pack(format) {
            Ok(payload) => payload,
            Err(error) => return self.refuse_plan(now, bootstrap, exchange, error.into()),
        };
        let stage = Stage::Delivering { exchange };
        self.bootstraps.insert(bootstrap, stage);
        let response = Response {
            content_format: Some(format.0),
            payload,
            ..Response::new(Code::CONTENT_2_05)
        };
        self.coap.respond(now.instant, exchange, response);
    }

    /// The answer to a device's request is there, or is lost.
    pub(super) fn handle_delivery(
        &mut self,
        now: Now,
        exchange: ExchangeId,
        delivered: Result<(), Failure>,
    ) {
        let Some((bootstrap, stage)) = self.taken(exchange) else {
            return;
        };
        match (stage, delivered) {
            (Stage::Accepting { run, .. }, Ok(())) => self.step(now, bootstrap, run),
            (_, Ok(())) => self.conclude(now, bootstrap, BootstrapOutcome::PackDelivered),
            (_, Err(Failure::Timeout)) => {
                self.conclude(now, bootstrap, BootstrapOutcome::TimedOut);
            }
            (_, Err(_)) => self.conclude(now, bootstrap, BootstrapOutcome::Gone),
        }
    }

    /// The device answered a step, or did not.
    pub(super) fn handle_answer(
        &mut self,
        now: Now,
        exchange: ExchangeId,
        answer: Result<&Response, Failure>,
    ) {
        let Some((mut bootstrap, stage)) = self.taken(exchange) else {
            return;
        };
        let Stage::Stepping {
            task,
            step,
            mut run,
            ..
        } = stage
        else {
            return self.bootstraps.insert(bootstrap, stage);
        };
        let verdict = match answer {
            Ok(response) => {
                let code = response.code;
                bootstrap.log.push(StepResult { step, code });
                bootstrap.unanswered = None;
                run.answered(task, step, response)
            }
            Err(reason) => Run::failed(task, step, reason),
        };
        let (id, endpoint) = (bootstrap.id, bootstrap.client.endpoint.clone());
        let output = match verdict {
            Verdict::End(outcome) => return self.conclude(now, bootstrap, outcome),
            Verdict::Next => None,
            Verdict::Discovered(links) => Some(BootstrapOutput::Discovered {
                id,
                endpoint,
                links,
            }),
            Verdict::Reported { path, values } => Some(BootstrapOutput::Reported {
                id,
                endpoint,
                path,
                values,
            }),
            Verdict::Again => Some(BootstrapOutput::Inconsistent { id, endpoint }),
        };
        self.outputs.extend(output);
        self.step(now, bootstrap, run);
    }

    /// Sends the next request.
    fn step(&mut self, now: Now, mut bootstrap: Bootstrap<P>, mut run: Run) {
        let (task, step, request) = match run.next() {
            Ok(next) => next,
            Err(error) => {
                let outcome = BootstrapOutcome::BadPlan(error.into());
                return self.conclude(now, bootstrap, outcome);
            }
        };
        match self.coap.send_request(now.instant, bootstrap.peer, request) {
            Ok(exchange) => {
                bootstrap.unanswered = Some(step);
                let stage = Stage::Stepping {
                    exchange,
                    task,
                    step,
                    run,
                };
                self.bootstraps.insert(bootstrap, stage);
            }
            Err(
                SendError::PeerBusy { .. }
                | SendError::OutOfMessageIds { .. }
                | SendError::Overloaded
                | SendError::TooLarge
                | SendError::TokenInUse
                | SendError::UnknownObservation,
            ) => self.conclude(now, bootstrap, BootstrapOutcome::Overloaded),
        }
    }

    fn taken(&mut self, exchange: ExchangeId) -> Option<(Bootstrap<P>, Stage)> {
        let id = self.bootstraps.awaiting(exchange)?;
        self.bootstraps.take(id)
    }

    /// Ends a bootstrap from outside of its course.
    pub(super) fn end(&mut self, now: Now, id: BootstrapId, outcome: BootstrapOutcome) {
        let Some((bootstrap, stage)) = self.bootstraps.take(id) else {
            return;
        };
        if let Stage::Stepping { exchange, .. } = stage {
            self.coap.cancel(exchange);
        }
        self.conclude(now, bootstrap, outcome);
    }

    /// A bootstrap whose deadline has passed.
    pub(super) fn expire(&mut self, now: Now, id: BootstrapId) {
        let Some((bootstrap, stage)) = self.bootstraps.take(id) else {
            return;
        };
        match stage {
            Stage::Preparing { exchange, .. } => self.give_up_preparing(now, bootstrap, exchange),
            Stage::Stepping { exchange, .. } => {
                self.coap.cancel(exchange);
                self.conclude(now, bootstrap, BootstrapOutcome::TimedOut);
            }
            Stage::Accepting { .. } | Stage::Delivering { .. } => {
                self.conclude(now, bootstrap, BootstrapOutcome::TimedOut);
            }
        }
    }

    /// The one place where a bootstrap ends; it has been taken out.
    fn conclude(&mut self, now: Now, bootstrap: Bootstrap<P>, outcome: BootstrapOutcome) {
        // What was given up for want of a plan says nothing of the pace of the others.
        if outcome != BootstrapOutcome::NotPrepared(PrepareError::Unavailable) {
            self.admission.served(now.instant);
        }
        self.outputs.push_back(BootstrapOutput::Ended {
            id: bootstrap.id,
            endpoint: bootstrap.client.endpoint,
            outcome,
            log: bootstrap.log,
            unanswered: bootstrap.unanswered,
        });
    }
}
