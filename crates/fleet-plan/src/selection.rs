//! Selectors and groups as filters of the API.

use crd::selector::{Operator, Requirement, Selector};
use crd::{DeviceGroup, DeviceGroupSpec, FirmwareImage, Reason};
use device_state::campaign;
use device_state::selection::DeviceFilter;
use filter::{Argument, Comparator, Expression, Field, Restriction, Tail};

use crate::Refusal;

/// The language of filters, which knows the fields of devices.
pub type ReadFilter = fn(&str) -> Result<DeviceFilter, String>;

/// What must hold of a device; all of it.
#[derive(Default)]
pub(crate) struct Selection {
    parts: Vec<Expression>,
}

impl Selection {
    /// `field` is where the selector stands.
    pub(crate) fn labels(mut self, selector: &Selector, field: &str) -> Result<Self, Refusal> {
        let labels = &selector.match_labels;
        self.parts
            .extend(labels.iter().map(|(key, value)| equal(label(key), value)));
        for (place, one) in selector.match_expressions.iter().enumerate() {
            let field = format!("{field}.matchExpressions[{place}]");
            self.parts.push(requirement(&field, one)?);
        }
        Ok(self)
    }

    /// `field` is where the spec of the group stands.
    pub(crate) fn group(self, spec: &DeviceGroupSpec, field: &str) -> Result<Self, Refusal> {
        let mut selection = match &spec.selector {
            Some(selector) => self.labels(selector, &format!("{field}.selector"))?,
            None => self,
        };
        if let Some(text) = &spec.filter {
            let parsed = filter::parse(text).map_err(|error| Refusal {
                reason: Reason::InvalidFilter,
                message: format!("{field}.filter: {error}"),
            })?;
            selection.parts.extend(parsed);
        }
        Ok(selection)
    }

    /// The group that an object names, if there is one; `field` is where it names it.
    pub(crate) fn named_group(
        self,
        group: Option<&DeviceGroup>,
        name: &str,
        field: &str,
    ) -> Result<Self, Refusal> {
        let group = group.ok_or_else(|| Refusal {
            reason: Reason::GroupNotFound,
            message: format!("{field}: there is no DeviceGroup {name} in the namespace"),
        })?;
        self.group(
            &group.spec,
            &format!("{field}: the DeviceGroup {name}: spec"),
        )
    }

    /// Only models that the image is for.
    pub(crate) fn models_of(mut self, image: &FirmwareImage) -> Self {
        let compatibility = image.spec.compatibility.as_ref();
        let models = compatibility.map(|one| one.models.as_slice());
        let model = || Field {
            name: "model".to_owned(),
            member: None,
            at: 0,
        };
        let parts = models.unwrap_or_default().iter();
        self.parts
            .extend(any(parts.map(|name| equal(model(), name)).collect()));
        self
    }

    /// In the language of filters; empty for every device of the namespace.
    fn text(mut self) -> String {
        match self.parts.len() {
            0 => String::new(),
            1 => self.parts.remove(0).to_string(),
            _ => Expression::And(self.parts).to_string(),
        }
    }

    pub(crate) fn finish(
        self,
        field: &str,
        read_filter: ReadFilter,
    ) -> Result<campaign::Selector, Refusal> {
        let text = self.text();
        let filter = read_filter(&text).map_err(|why| Refusal {
            reason: Reason::InvalidFilter,
            message: format!("{field}: as the filter {text:?}: {why}"),
        })?;
        Ok(campaign::Selector { text, filter })
    }
}

fn requirement(field: &str, requirement: &Requirement) -> Result<Expression, Refusal> {
    let one = |value: &String| equal(label(&requirement.key), value);
    let values = || {
        let why = "In and NotIn need values";
        any(requirement.values.iter().map(one).collect())
            .ok_or_else(|| Refusal::invalid(field, why))
    };
    let present = || {
        Expression::Restriction(Restriction {
            field: label(&requirement.key),
            comparator: Comparator::Has,
            argument: Argument {
                text: String::new(),
                tail: Tail::Any,
                at: 0,
            },
        })
    };
    // As everywhere in Kubernetes, NotIn holds of a device without the label.
    Ok(match requirement.operator {
        Operator::In => values()?,
        Operator::NotIn => Expression::Not(Box::new(values()?)),
        Operator::Exists => present(),
        Operator::DoesNotExist => Expression::Not(Box::new(present())),
    })
}

fn any(mut parts: Vec<Expression>) -> Option<Expression> {
    match parts.len() {
        0 | 1 => parts.pop(),
        _ => Some(Expression::Or(parts)),
    }
}

fn label(key: &str) -> Field {
    Field {
        name: "labels".to_owned(),
        member: Some(key.to_owned()),
        at: 0,
    }
}

fn equal(field: Field, value: &str) -> Expression {
    Expression::Restriction(Restriction {
        field,
        comparator: Comparator::Equal,
        argument: Argument {
            text: value.to_owned(),
            tail: Tail::Nothing,
            at: 0,
        },
    })
}
