//! Packages that devices fetch from the cluster.

use proto::drover::v1::Artefact;
use serde::Serialize;

use crate::table;
use crate::time;
use crate::view::backup::size;

/// `{"digest", "sizeBytes", "title", "uri", "createTime"}`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ArtefactView {
    pub(crate) digest: String,
    size_bytes: u64,
    title: String,
    pub(crate) uri: String,
    create_time: Option<String>,
}

impl From<Artefact> for ArtefactView {
    fn from(artefact: Artefact) -> Self {
        Self {
            digest: artefact.digest,
            size_bytes: artefact.size_bytes,
            title: artefact.title,
            uri: artefact.uri,
            create_time: time::rfc3339(artefact.create_time.as_ref()),
        }
    }
}

impl ArtefactView {
    pub(crate) fn text(&self) -> String {
        format!(
            "Title:    {}\nDigest:   {}\nSize:     {}\nURI:      {}\nStored:   {}\n",
            table::printable(&self.title),
            self.digest,
            size(self.size_bytes),
            self.uri,
            self.create_time.as_deref().unwrap_or("-"),
        )
    }
}

/// `{"artefacts": […]}`.
#[derive(Debug, Serialize)]
pub(crate) struct ArtefactsView {
    pub(crate) artefacts: Vec<ArtefactView>,
}

impl ArtefactsView {
    pub(crate) fn table(&self) -> String {
        let rows = self.artefacts.iter().map(|artefact| {
            vec![
                artefact.digest.clone(),
                size(artefact.size_bytes),
                artefact.create_time.clone().unwrap_or_default(),
                artefact.title.clone(),
            ]
        });
        table::render(&["DIGEST", "SIZE", "STORED", "TITLE"], rows)
    }
}
