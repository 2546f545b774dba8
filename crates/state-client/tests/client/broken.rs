//! How a call ends whose connection does.

use std::future::Future;
use std::time::Duration;

use proto::broken_connection;
use proto::rpc::v1::DescribeClusterRequest;
use proto::rpc::v1::state_client::StateClient;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tonic::transport::Endpoint;
use tonic::{Request, Status};

/// How a call to a server ends that treats its first connection so.
async fn status<F: Future<Output = ()>>(serve: impl FnOnce(TcpStream) -> F) -> Status {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let call = async {
        let endpoint = Endpoint::from_shared(address).unwrap();
        let mut client = StateClient::new(endpoint.connect_lazy());
        let mut request = Request::new(DescribeClusterRequest {});
        request.set_timeout(Duration::from_millis(300));
        client.describe_cluster(request).await.unwrap_err()
    };
    let server = async {
        serve(listener.accept().await.unwrap().0).await;
        drop(listener);
    };
    tokio::join!(call, server).0
}

#[tokio::test]
async fn a_connection_that_ends_before_the_answer_is_broken() {
    let status = status(|mut stream| async move {
        assert!(stream.read(&mut [0; 16]).await.unwrap() > 0);
    })
    .await;
    assert!(broken_connection(&status).is_some(), "{status:?}");
}

#[tokio::test]
async fn a_connection_that_is_refused_is_broken() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let endpoint = Endpoint::from_shared(address).unwrap();
    let mut client = StateClient::new(endpoint.connect_lazy());
    let status = client.describe_cluster(DescribeClusterRequest {}).await;
    assert!(broken_connection(&status.unwrap_err()).is_some());
}

#[tokio::test]
async fn a_call_that_is_not_answered_in_time_is_not() {
    let status = status(|mut stream| async move {
        // Until the caller gives up.
        let mut ignored = Vec::new();
        let _ended =
            tokio::time::timeout(Duration::from_secs(2), stream.read_to_end(&mut ignored)).await;
    })
    .await;
    assert!(broken_connection(&status).is_none(), "{status:?}");
}

#[test]
fn what_the_other_side_said_is_not() {
    assert!(broken_connection(&Status::unknown("transport error")).is_none());
}
