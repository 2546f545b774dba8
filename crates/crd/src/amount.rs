//! Numbers of devices, in devices or in percent.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use schemars::{Schema, SchemaGenerator, json_schema};

/// A number of devices: `20`, `"20"` or `"2.5%"`.
pub type Amount = IntOrString;

/// The schema of an [`Amount`]. Kubernetes compares a number with the minimum and a text with the
/// pattern.
pub(crate) fn amount_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "minimum": 1,
        "maxLength": 10,
        "pattern": "^([1-9][0-9]{0,8}|(100|[1-9][0-9]?([.][0-9]{1,3})?|0[.]0{0,2}[1-9][0-9]{0,2})%)$",
    })
}
