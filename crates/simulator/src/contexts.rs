//! The OSCORE security contexts of a fleet.

use std::path::{Path, PathBuf};

use oscore::{Algorithm, Client, ContextState, Secrets};
use thiserror::Error;

/// The contexts of the devices in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contexts {
    listed: Vec<(String, ContextState)>,
    /// How often these devices have started, this time too: the generation of their numbers.
    starts: u16,
}

/// Why contexts cannot be used.
#[derive(Debug, Error)]
pub enum ContextsError {
    /// A file cannot be read.
    #[error("{path} cannot be read: {source}", path = .path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    /// The count of starts cannot be stored, without which a number might be used twice.
    #[error("{path} cannot be written: {source}", path = .path.display())]
    Write {
        path: PathBuf,
        source: std::io::Error,
    },
    /// The line has too few or too many fields; lines are counted from 1.
    #[error(
        "line {0} of the oscore file is not endpoint,client-id,server-id,master-secret[,master-salt[,id-context]]"
    )]
    Fields(usize),
    /// A field is not hexadecimal.
    #[error("line {0} of the oscore file has a field that is not hexadecimal")]
    Hex(usize),
    /// The fields make no context.
    #[error("line {line} of the oscore file: {source}")]
    Derive {
        line: usize,
        source: oscore::DeriveError,
    },
    /// The count of starts is no number.
    #[error("{} holds no number of starts", .0.display())]
    Starts(PathBuf),
    /// After 65,535 starts all numbers are used.
    #[error("the contexts have been started too often: the devices need other ones")]
    UsedUp,
}

impl Contexts {
    /// Reads a CSV file, with or without a header, and counts one more start of its devices in a file beside it.
    pub fn read(path: &Path) -> Result<Self, ContextsError> {
        let text = std::fs::read_to_string(path).map_err(|source| ContextsError::Read {
            path: path.to_owned(),
            source,
        })?;
        let listed = parse(&text)?;
        Ok(Self {
            listed,
            starts: count_start(path)?,
        })
    }

    /// How many devices there are contexts for.
    pub fn len(&self) -> usize {
        self.listed.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// Endpoint of the device with this number, and its side of the context. `seed` must never be used twice.
    pub(crate) fn device(
        &self,
        number: usize,
        seed: [u8; 32],
    ) -> Option<(&str, Result<Client, oscore::ImportError>)> {
        let (endpoint, state) = self.listed.get(number)?;
        let config = oscore::Config {
            max_contexts: 1,
            ..oscore::Config::default()
        };
        let client = Client::new(config, state.clone(), self.starts, seed);
        Some((endpoint, client))
    }
}

/// RFC 8613 appendix B.1.1: what is stored stays ahead of what is used.
fn count_start(path: &Path) -> Result<u16, ContextsError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".starts");
    let path = PathBuf::from(name);
    let before = match std::fs::read_to_string(&path) {
        Ok(text) => text
            .trim()
            .parse()
            .map_err(|_| ContextsError::Starts(path.clone()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0_u16,
        Err(source) => return Err(ContextsError::Read { path, source }),
    };
    let starts = before.checked_add(1).ok_or(ContextsError::UsedUp)?;
    match std::fs::write(&path, format!("{starts}\n")) {
        Ok(()) => Ok(starts),
        Err(source) => Err(ContextsError::Write { path, source }),
    }
}

fn parse(text: &str) -> Result<Vec<(String, ContextState)>, ContextsError> {
    let mut listed = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        let header = index == 0 && line.starts_with("endpoint,");
        if line.is_empty() || line.starts_with('#') || header {
            continue;
        }
        listed.push(parse_line(index + 1, line)?);
    }
    Ok(listed)
}

fn parse_line(line: usize, text: &str) -> Result<(String, ContextState), ContextsError> {
    let mut fields = text.split(',').map(str::trim);
    let endpoint = fields.next().filter(|endpoint| !endpoint.is_empty());
    let endpoint = endpoint.ok_or(ContextsError::Fields(line))?;
    let rest = fields
        .map(|field| hex::decode(field).map_err(|_| ContextsError::Hex(line)))
        .collect::<Result<Vec<_>, _>>()?;
    let (client_id, server_id, master_secret, master_salt, id_context) = match rest.as_slice() {
        [client, server, secret] => (client, server, secret, &[][..], None),
        [client, server, secret, salt] => (client, server, secret, salt.as_slice(), None),
        [client, server, secret, salt, context] => {
            (client, server, secret, salt.as_slice(), Some(context))
        }
        _ => return Err(ContextsError::Fields(line)),
    };
    let secrets = Secrets {
        algorithm: Algorithm::default(),
        master_secret,
        master_salt,
        id_context: id_context.map(Vec::as_slice),
        sender_id: client_id,
        recipient_id: server_id,
    };
    // Nothing is kept of what the server sent before, so its first request is answered by a challenge (appendix B.1.2).
    let state = ContextState::provision(&secrets)
        .map_err(|source| ContextsError::Derive { line, source })?;
    Ok((endpoint.to_owned(), state))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    #[test]
    fn files_have_one_device_a_line() {
        let text = "endpoint,client-id,server-id,master-secret\n# lamps\nlamp-1,0a,00,00ff\n\nlamp-2,0b,,a0b0,01,c0\n";
        let listed = parse(text).unwrap();
        let names: Vec<_> = listed.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["lamp-1", "lamp-2"]);
        assert!(listed[0].1.id_context().is_none());
        let context = listed[1].1.id_context().unwrap();
        assert_eq!(context.as_bytes(), [0xC0]);
        assert!(listed[1].1.recipient_id().as_bytes().is_empty());
    }

    #[test]
    fn broken_lines_are_named() {
        let error = |text| parse(text).unwrap_err().to_string();
        assert!(error("a,0a,00\n").starts_with("line 1 of the oscore file is not"));
        assert!(error("a,0a,00,00ff\nb,xy,00,00ff").starts_with("line 2"));
        assert!(error("a,0a,0a,00ff").contains("same"));
    }

    #[test]
    fn every_start_has_numbers_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("contexts.csv");
        std::fs::write(&path, "lamp-1,0a,00,00ff\n").unwrap();
        for starts in 1..4 {
            assert_eq!(Contexts::read(&path).unwrap().starts, starts);
        }
        let count = folder.path().join("contexts.csv.starts");
        std::fs::write(&count, "65535").unwrap();
        assert!(matches!(Contexts::read(&path), Err(ContextsError::UsedUp)));
        std::fs::write(&count, "many").unwrap();
        assert!(matches!(
            Contexts::read(&path),
            Err(ContextsError::Starts(_))
        ));
    }
}
