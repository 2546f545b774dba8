//! What a device turned out not to do as its release says. Learnt from its answers, and kept with the device.

use device_state::Quirks;
use lwm2m::{ContentFormat, LwM2mVersion};

/// Whether an answer can mean that the device does not know the kind of request, so that another way is worth a try.
// LwM2M-Core 1.2 §6.3.8, §6.3.9: composite operations are optional for clients. Wakaama answers 4.05, others 4.00, 4.02,
// 4.15 or 5.01.
pub(crate) const fn may_be_unknown_to_device(code: coap::Code) -> bool {
    matches!(
        code,
        coap::Code::BAD_REQUEST_4_00
            | coap::Code::BAD_OPTION_4_02
            | coap::Code::METHOD_NOT_ALLOWED_4_05
            | coap::Code::NOT_ACCEPTABLE_4_06
            | coap::Code::UNSUPPORTED_CONTENT_FORMAT_4_15
            | coap::Code::NOT_IMPLEMENTED_5_01
    )
}

/// Whether an answer can mean nothing else.
pub(crate) const fn is_unknown_to_device(code: coap::Code) -> bool {
    matches!(
        code,
        coap::Code::BAD_OPTION_4_02
            | coap::Code::METHOD_NOT_ALLOWED_4_05
            | coap::Code::NOT_IMPLEMENTED_5_01
    )
}

/// Whether the device can be asked for several paths at once.
// LwM2M-Core 1.1 §5.1.1: composite operations are new in 1.1.
pub(crate) fn has_composite(version: LwM2mVersion, quirks: &Quirks) -> bool {
    version != LwM2mVersion::V1_0 && !quirks.no_composite
}

/// Whether an Observe can say when to notify.
// LwM2M-Core 1.2 §6.4.1: attributes as parameters of Observe are new in 1.2.
pub(crate) fn has_observe_parameters(version: LwM2mVersion, quirks: &Quirks) -> bool {
    version == LwM2mVersion::V1_2 && !quirks.no_observe_parameters
}

/// The formats that a payload can be in that the device labels with `label`, the likeliest first. A device that labels
/// some payloads wrongly labels others right.
pub(crate) fn likely_formats(
    quirks: &Quirks,
    label: ContentFormat,
) -> impl Iterator<Item = ContentFormat> {
    let actual = quirks
        .mislabelled
        .and_then(|(known, actual)| (known == label).then_some(actual));
    actual.into_iter().chain([label])
}
