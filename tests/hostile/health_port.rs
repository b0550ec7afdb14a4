//! Requests to the health port that are begun and never ended.

use std::io::Write;
use std::net::TcpStream;

use crate::jobs::result;
use crate::memory::assert_within_the_limit;
use crate::world::{World, script};

/// Begins so many requests, as far as they are let in.
pub fn half_requests(world: &World, count: usize) -> Vec<TcpStream> {
    let address = world.operator.as_ref().expect("an operator").health_address();
    let mut streams = Vec::new();
    for _ in 0..count {
        let Ok(mut stream) = TcpStream::connect(&address) else {
            break;
        };
        // One that was not let in is closed.
        let _ = stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\nX: ");
        streams.push(stream);
    }
    streams
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_never_end_keep_neither_the_kubelet_out_nor_memory() {
    let world = World::new("health").await;
    world.pool("shell", 2).await;
    let mut held = Vec::new();
    for _ in 0..10 {
        held.extend(half_requests(&world, 800));
        world
            .until("the health port answers", || async {
                world
                    .operator
                    .as_ref()
                    .expect("an operator")
                    .is_healthy("/livez")
                    .then_some(())
            })
            .await;
        held.drain(..held.len() / 2);
    }
    assert_eq!(result(&world.run("other", &script("echo hi")).await).1, b"hi\n");
    assert_within_the_limit(&world);
}
