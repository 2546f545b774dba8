//! What real clients get wrong, or do in a way of their own.

use std::time::Duration;

use lwm2m::attributes::AttributeName;
use lwm2m::{ContentFormat, Path};

/// A way in which a device departs from the specification, or from what most others do. Issue
/// numbers name where such a client was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// FETCH and iPATCH are answered 4.05, whatever the release: composite operations are optional
    /// for clients (LwM2M Core 1.2 §6.3.8).
    RefusesComposite,
    /// FETCH and iPATCH are acknowledged and never answered, as Wakaama does.
    SwallowsComposite,
    /// Requests for a path and what is below it are acknowledged and never answered: a sensor that
    /// hangs.
    NeverAnswers(Path),
    /// Answers come after this time. If it is longer than the processing delay of CoAP, they come
    /// in messages of their own, as those of Zephyr's applications that acknowledge first
    /// (`lwm2m_acknowledge`) do.
    AnswersAfter(Duration),
    /// An attribute is unknown and refused with 4.00: clients only SHOULD know all of them (LwM2M
    /// Core 1.2 §5.1.2).
    RefusesAttribute(AttributeName),
    /// Parameters of an Observe are refused with 4.00 by a device of 1.2 too: clients that do not
    /// support them must refuse them (LwM2M Core 1.2 §6.4.1).
    RefusesObserveParameters,
    /// The depth of a Discover is not looked at: clients of 1.2 that do not support it must ignore
    /// it (LwM2M Core 1.2 §6.3.2).
    IgnoresDepth,
    /// Paths in the answer to Discover end in a slash, as in examples of LwM2M Core 1.2 §6.3.2.
    DiscoversWithSlashes,
    /// Every content is said to be in this format, whatever it is in: clients that take text/plain
    /// for the default (ConnectivityFoundry/AwaLWM2M#257).
    MislabelsFormat(ContentFormat),
    /// Content comes without Content-Format (eclipse-leshan/leshan#204, #465).
    OmitsFormat,
    /// Formats have the numbers of the drafts of LwM2M 1.0: 1541 to 1543 for text, TLV and JSON.
    NumbersFormatsAsDrafts,
    /// A read is answered in the format that the device prefers, whatever Accept says
    /// (ARMmbed/mbed-client#509).
    IgnoresAccept,
    /// An Accept that cannot be honoured is answered 4.15 instead of 4.06, as Anjay Lite does.
    RefusesAcceptAsFormat,
    /// Create is answered without Location-Path, as by Zephyr and the Leshan client.
    OmitsLocation,
    /// Creating an instance that exists is answered 4.06 instead of 4.00, as Wakaama does.
    RefusesKnownInstance,
    /// Observe and notifications carry no Observe option: devices with Huawei's SDK
    /// (emqx/emqx#4199).
    OmitsObserve,
    /// A reset does not end an observation (ARMmbed/mbed-client#517).
    IgnoresReset,
    /// Answers and notifications have a token that nobody gave (eclipse-leshan/leshan#862).
    WrongToken,
}
