//! Numbers of devices and percentages of a spec, as campaigns and profiles know them.

use crd::amount::Amount;
use device_state::campaign::Share;

use crate::Refusal;

/// Millionths in a percent.
const PERCENT: u32 = 10_000;

/// `20`, `"20"` or `"2.5%"`.
pub(crate) fn share(field: &str, amount: &Amount) -> Result<Share, Refusal> {
    match amount {
        Amount::Int(devices) => u64::try_from(*devices)
            .ok()
            .map(Share::Devices)
            .ok_or_else(|| wrong(field)),
        Amount::String(text) => share_text(field, text),
    }
}

/// `"20"` or `"2.5%"`.
pub(crate) fn share_text(field: &str, text: &str) -> Result<Share, Refusal> {
    if text.ends_with('%') {
        return percent(field, text).map(Share::Millionths);
    }
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let devices = text.parse().ok().filter(|_| is_number);
    devices.map(Share::Devices).ok_or_else(|| wrong(field))
}

/// `"99.5%"`, in millionths.
pub(crate) fn percent(field: &str, text: &str) -> Result<u32, Refusal> {
    let wrong = || Refusal::invalid(field, "is not a percentage such as 99.5%");
    let number = text.strip_suffix('%').ok_or_else(wrong)?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 3 || part.len() > 4 || !digits(whole) || !digits(part) {
        return Err(wrong());
    }
    let whole: u32 = whole.parse().map_err(|_| wrong())?;
    let part: u32 = format!("{part:0<4}").parse().map_err(|_| wrong())?;
    Some(whole * PERCENT + part)
        .filter(|millionths| *millionths <= 100 * PERCENT)
        .ok_or_else(wrong)
}

fn wrong(field: &str) -> Refusal {
    Refusal::invalid(
        field,
        "is neither a number of devices such as 20 nor a percentage such as 5%",
    )
}
