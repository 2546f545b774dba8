//! Packages, as far as nodes have them.

use device_state::Digest;

use crate::fake::{Cluster, Node, Reply};
use crate::{AMPLE, client_of};

#[tokio::test]
async fn a_package_is_read_as_a_whole_or_not_at_all() {
    let cluster = Cluster::new(1);
    let node = Node::start(1, &cluster, |_| Reply::Silence).await;
    cluster.lead(&node, 1);
    let client = client_of(&[&node]);
    let read = async |size, told| {
        let mut digest = Digest([0; Digest::BYTES]);
        digest.0[..2].copy_from_slice(&[size, told]);
        client.artefact(digest, AMPLE).await
    };
    let whole = read(3, 3).await.unwrap().unwrap();
    assert_eq!(&whole[..], [0, 1, 2]);
    assert_eq!(read(0, 0).await.unwrap(), None);
    for told in [2, 4] {
        let broken = read(3, told).await;
        assert!(broken.is_err(), "{broken:?}");
    }
}
