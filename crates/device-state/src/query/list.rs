//! Lists that are read in pages.

use crate::event::{Devices, EventFilter, EventKind};
use crate::name::{DeviceName, DevicePrefix, Namespace};
use crate::query::{self, DeviceView};
use crate::range;
use crate::record::{Credential, CredentialId, CredentialName, Registration};
use crate::table::{Row, RowKey, Tables};

/// The registered devices of a prefix, by name, those after `after` only, at
/// most `limit`.
///
/// For the next page pass the last name of the page before; an empty page is the end.
pub fn list_devices(
    tables: &dyn Tables,
    after: Option<&DeviceName>,
    prefix: &DevicePrefix,
    limit: usize,
) -> Vec<Registration> {
    let (first, last) = (prefix.first(), prefix.last());
    let from = after.map_or_else(|| first.clone(), |after| first.clone().max(after.clone()));
    if from > last {
        return Vec::new();
    }
    let last = RowKey::Registration(last);
    let rows = tables.scan(&RowKey::Registration(from), &last, limit.saturating_add(1));
    let registrations = rows.into_iter().filter_map(|row| match row {
        Row::Registration(registration) => Some(registration),
        _ => None,
    });
    registrations
        .filter(|registration| after.is_none_or(|after| registration.endpoint > *after))
        .take(limit)
        .collect()
}

/// The registered devices that a watcher asks for, by name, those after `after` only, at most `limit`: each with its
/// registration, and with its last values if it asks for values.
pub fn list_present(
    tables: &dyn Tables,
    after: Option<&DeviceName>,
    filter: &EventFilter,
    limit: usize,
) -> Vec<DeviceView> {
    let registrations = match &filter.devices {
        Devices::Prefix(prefix) => list_devices(tables, after, prefix, limit),
        Devices::Named(name) if after.is_some_and(|after| after >= name) => Vec::new(),
        Devices::Named(name) => query::registration(tables, name).into_iter().collect(),
    };
    let with_values = filter.wants(EventKind::ValuesReported);
    let view = |registration: Registration| {
        let mut view = DeviceView::nothing(registration.endpoint.clone());
        if with_values {
            view.values = query::values(tables, &view.endpoint);
            view.child_values = query::child_values(tables, &view.endpoint);
        }
        view.registration = Some(registration);
        view
    };
    registrations.into_iter().map(view).collect()
}

/// A page of the credentials, by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialPage {
    pub credentials: Vec<Credential>,
    /// Where the next page starts (`after`); `None` at the end.
    pub next: Option<CredentialId>,
}

/// The credentials of a namespace after the id `after`, at most `limit`.
pub fn list_credentials(
    tables: &dyn Tables,
    namespace: &Namespace,
    after: Option<&CredentialId>,
    limit: usize,
) -> CredentialPage {
    let from = after.map_or(CredentialId::PskIdentity(Vec::new()), CredentialId::clone);
    let to = CredentialId::OscoreId(vec![u8::MAX; CredentialId::MAX_OSCORE_ID + 1]);
    // The scan begins with the one that the page begins after.
    let rows = tables.scan(
        &RowKey::Credential(CredentialName::new(namespace, from)),
        &RowKey::Credential(CredentialName::new(namespace, to)),
        limit + 1,
    );
    let credentials: Vec<_> = rows
        .into_iter()
        .filter_map(|row| match row {
            Row::Credential(credential) => Some(credential),
            _ => None,
        })
        .filter(|credential| after != Some(&credential.id))
        .take(limit)
        .collect();
    let full = credentials.len() == limit;
    let next = credentials
        .last()
        .filter(|_| full)
        .map(|credential| credential.id.clone());
    CredentialPage { credentials, next }
}

/// Some credentials, whatever their namespaces, at most `limit`.
pub fn any_credentials(tables: &dyn Tables, limit: usize) -> Vec<Credential> {
    let (from, to) = range::credentials();
    let rows = tables.scan(&from, &to, limit);
    let credential = |row| match row {
        Row::Credential(credential) => Some(credential),
        _ => None,
    };
    rows.into_iter().filter_map(credential).collect()
}

/// Where a walk over the operations of all devices goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingCursor {
    endpoint: DeviceName,
    sequence: u64,
}

/// A page of the devices with pending operations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingPage {
    /// Each once; but one at the edge of a page can be on the next as well.
    pub endpoints: Vec<DeviceName>,
    /// `None` at the end.
    pub next: Option<PendingCursor>,
}

/// The devices that have pending operations, for a leader that starts. Looks at `limit` operations
/// per page.
pub fn pending_devices(
    tables: &dyn Tables,
    cursor: Option<&PendingCursor>,
    limit: usize,
) -> PendingPage {
    let from = cursor.map(|cursor| (cursor.endpoint.clone(), cursor.sequence));
    let (from, to) = range::all_operations(from);
    let rows = tables.scan(&from, &to, limit);
    let mut page = PendingPage {
        endpoints: Vec::new(),
        next: None,
    };
    for row in &rows {
        let Row::Operation(record) = row else {
            continue;
        };
        if record.is_pending() && page.endpoints.last() != Some(&record.endpoint) {
            page.endpoints.push(record.endpoint.clone());
        }
        if rows.len() == limit {
            let sequence = record.id.sequence.saturating_add(1);
            page.next = Some(PendingCursor {
                endpoint: record.endpoint.clone(),
                sequence,
            });
        }
    }
    page
}
