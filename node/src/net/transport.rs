//! What carries connections: TCP with Noise and Yamux, and QUIC. Either proves the node key of the
//! other end, and either is guarded.

use std::time::Duration;

use chartmesh_core::types::limits;
use futures::future::Either;
use libp2p::{
    PeerId, Transport,
    core::{muxing::StreamMuxerBox, transport::Boxed, upgrade},
    dns, identity, noise, quic, tcp, yamux,
};

use super::{
    NetError,
    guard::{GuardedMuxer, GuardedUpgrade, Guards},
};

/// A connection: whose, and its streams.
pub(super) type Muxed = (PeerId, StreamMuxerBox);

/// The transport of a node.
///
/// # Errors
///
/// [`NetError::Key`] where the key cannot be used.
pub(super) fn build(key: &identity::Keypair, guards: &Guards) -> Result<Boxed<Muxed>, NetError> {
    let sockets = || -> Result<Boxed<Muxed>, NetError> {
        let stream = stream(key, guards)?;
        let both =
            datagram(key, guards.clone())
                .or_transport(stream)
                .map(|either, _| match either {
                    Either::Left(muxed) | Either::Right(muxed) => muxed,
                });
        Ok(both.boxed())
    };
    Ok(match dns::tokio::Transport::system(sockets()?) {
        Ok(resolving) => resolving.boxed(),
        // A node without a resolver still serves its own users and peers known by number.
        Err(error) => {
            tracing::warn!(%error, "no name resolver: only numeric addresses are dialled");
            sockets()?
        }
    })
}

fn stream(key: &identity::Keypair, guards: &Guards) -> Result<Boxed<Muxed>, NetError> {
    let sockets = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true));
    secured(sockets, key, guards.clone())
}

/// Noise and Yamux over any byte stream.
///
/// # Errors
///
/// [`NetError::Key`] where the key cannot be used.
pub(super) fn secured<T>(
    sockets: T,
    key: &identity::Keypair,
    guards: Guards,
) -> Result<Boxed<Muxed>, NetError>
where
    T: Transport + Send + Unpin + 'static,
    T::Output: futures::AsyncRead + futures::AsyncWrite + Send + Unpin + 'static,
    T::Error: Send + Sync + 'static,
    T::Dial: Send + 'static,
    T::ListenerUpgrade: Send + 'static,
{
    let mut muxer = yamux::Config::default();
    muxer.set_max_num_streams(limits::MUXED_STREAMS_MAX);
    let noise = noise::Config::new(key).map_err(|_| NetError::Key)?;
    Ok(sockets
        .upgrade(upgrade::Version::V1Lazy)
        .authenticate(noise)
        .multiplex_ext(move |peer, _| GuardedUpgrade::new(muxer, guards, *peer))
        .timeout(Duration::from_millis(limits::CONNECT_MAX.0))
        .boxed())
}

fn datagram(key: &identity::Keypair, guards: Guards) -> Boxed<Muxed> {
    let mut config = quic::Config::new(key);
    config.handshake_timeout = Duration::from_millis(limits::CONNECT_MAX.0);
    config.max_concurrent_stream_limit =
        u32::try_from(limits::MUXED_STREAMS_MAX).unwrap_or(u32::MAX);
    config.max_stream_data = limits::QUIC_STREAM_WINDOW_BYTES;
    config.max_connection_data = limits::QUIC_CONNECTION_WINDOW_BYTES;
    quic::tokio::Transport::new(config)
        .map(move |(peer, connection), _| {
            let guarded = GuardedMuxer::new(connection, &guards, peer);
            (peer, StreamMuxerBox::new(guarded))
        })
        .boxed()
}
