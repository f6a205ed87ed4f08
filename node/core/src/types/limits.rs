//! Every bound of the node in one place. Each is hit by a test that names it (`tests/tidy`).

use super::Span;

/// Bytes of one FHIR input file.
pub const INPUT_MAX_BYTES: usize = 64 << 20;
/// Nesting of JSON objects and arrays.
pub const JSON_DEPTH_MAX: usize = 64;
/// Keys of one JSON object.
pub const JSON_KEYS_MAX: usize = 1_024;
/// Characters of one JSON number.
pub const JSON_NUMBER_CHARS_MAX: usize = 64;
/// Entries of one bundle.
pub const BUNDLE_ENTRIES_MAX: usize = 50_000;
/// Bytes of one resource.
pub const RESOURCE_MAX_BYTES: usize = 16 << 20;
/// Bytes of one line of NDJSON.
pub const LINE_MAX_BYTES: usize = RESOURCE_MAX_BYTES;
/// Lines of NDJSON that are imported in one commit.
pub const LINES_PER_COMMIT_MAX: usize = 512;
/// Bytes of lines after which a commit takes no more.
pub const LINES_PER_COMMIT_BYTES: usize = 4 << 20;
/// Issues told of one input; the rest is counted.
pub const INPUT_ISSUES_MAX: usize = 1_000;
/// Bytes of one document. It is sealed, sent, checked and opened bit by bit, so this bounds the disk
/// and not the memory.
pub const DOCUMENT_MAX_BYTES: u64 = 4 << 30;
/// Bytes of one sealed file up to which a fetch keeps it in memory, without a part file.
pub const FETCH_MEMORY_MAX_BYTES: u64 = 1 << 20;
/// Chunks of a part file that are read and opened in one step.
pub const FETCH_STEP_CHUNKS: u64 = 16;
/// Chunks of a sealed file that its holder reads in one step; each is still decided by itself.
pub const SEND_STEP_CHUNKS: u64 = 4;
/// Leaf hashes of sealed files that a holder remembers, 4 MiB of them.
pub const LEAVES_REMEMBERED_MAX: usize = 128 << 10;
/// Bytes of one value in the index (storage.md 3).
pub const INDEX_VALUE_MAX_BYTES: usize = 4 << 10;
/// Plaintext bytes of a chunk of a document file (c2sp.org/age payload).
pub const CHUNK_BYTES: usize = 64 << 10;
/// Bytes of all versions of a charter: they go to a newcomer in one message.
pub const CHARTER_CHAIN_MAX_BYTES: usize = 512 << 10;
/// Versions of a charter in one message.
pub const CHARTERS_MAX: usize = 4_096;
/// Charters kept that are valid and not in force.
pub const CHARTERS_SEEN_MAX: usize = 8;
/// How long after a recovery was first seen it takes effect (protocol.md 1).
pub const RECOVERY_WAIT: Span = Span::hours(72);
/// Proposals of one authority that wait for others at one node.
pub const PROPOSALS_PER_AUTHORITY_MAX: usize = 32;
/// How long a proposal may wait for signatures.
pub const PROPOSAL_LIFE: Span = Span::days(14);
/// Proposals in one file.
pub const PROPOSAL_FILE_MAX: usize = 65;
/// Signatures over one body.
pub const SIGNATURES_MAX: usize = 64;
/// Leaf hashes in one part of a fetch.
pub const LEAVES_PER_PART: usize = 1_024;
/// Bytes of one commit of the journal.
pub const COMMIT_MAX_BYTES: usize = 256 << 20;
/// Records of one commit of the journal.
pub const COMMIT_MAX_RECORDS: usize = 200_000;
/// Bytes of one gRPC message between peers.
pub const PEER_MESSAGE_MAX_BYTES: usize = 1 << 20;
/// Bytes of one part on the admin socket.
pub const ADMIN_PART_MAX_BYTES: usize = 1 << 20;
/// Bytes after which the journal begins another file.
pub const JOURNAL_FILE_MAX_BYTES: u64 = 1 << 30;
/// Members of a network that this node keeps.
pub const MEMBERS_MAX: usize = 10_000;
/// Members one question goes to directly; the charter may say less.
pub const DIRECT_MAX: usize = 50;
/// Handles one asker may hold at one holder; the oldest goes first (protocol.md 4).
pub const HANDLES_PER_ASKER_MAX: usize = 2_000;
/// How long a handle is valid.
pub const HANDLE_VALID: Span = Span::hours(12);
/// How often what is new of one member is written to the journal; a new credential always is.
pub const MEMBER_WRITTEN_EVERY: Span = Span::minutes(1);
/// Sessions one peer may hold at a time (protocol.md 3).
pub const SESSIONS_PER_PEER_MAX: usize = 4;
/// Sessions of one peer that ended early and are remembered while their messages may be good.
pub const SESSIONS_ENDED_MAX: usize = 1_024;
/// Messages of one session.
pub const SESSION_MESSAGES_MAX: u64 = 1 << 20;
/// Counters a session remembers.
pub const WINDOW_BITS: u64 = 1_024;
/// A challenge is good in its slot and the next.
pub const CHALLENGE_SLOT: Span = Span::minutes(10);
/// Longest life of a message.
pub const MESSAGE_LIFE_MAX: Span = Span::seconds(120);
/// How far two clocks may be apart, where the charter says nothing.
pub const CLOCK_WINDOW: Span = Span::minutes(5);
/// Life of a key set (protocol.md 1).
pub const KEY_SET_LIFE: Span = Span::days(7);
/// Life of a node record.
pub const NODE_RECORD_LIFE: Span = Span::days(2);
/// Life of a credential.
pub const CREDENTIAL_LIFE: Span = Span::days(365);
/// Life of a ticket.
pub const TICKET_LIFE: Span = Span::days(7);
/// Tickets outstanding at one node.
pub const TICKETS_MAX: usize = 1_000;
/// Join requests that wait at one node.
pub const JOIN_REQUESTS_MAX: usize = 100;
/// How often an applicant that waits may ask with other keys than before: each time is written down.
pub const JOIN_KEYS_CHANGED_MAX: u32 = 8;
/// Matches in one answer.
pub const MATCHES_MAX: usize = 8;
/// Bytes of every answer to a locate question, before sealing.
pub const LOCATE_ANSWER_BYTES: usize = 4 << 10;
/// Answers to a locate question leave at multiples of this (protocol.md 7).
pub const LOCATE_TICK: Span = Span(100);
/// Rounds of more-needed.
pub const LOCATE_ROUNDS_MAX: u32 = 2;
/// Total deadline of a locate, where the user names none.
pub const LOCATE_DEADLINE: Span = Span::seconds(10);
/// Names, identifiers, addresses, phones or e-mails in one question, each.
pub const DEMOGRAPHICS_MAX: usize = 16;
/// Characters of one demographic value.
pub const DEMOGRAPHIC_CHARS_MAX: usize = 256;
/// Documents in one list.
pub const LIST_MAX: u32 = 500;
/// Bytes of the entries of one list: under [`PEER_MESSAGE_MAX_BYTES`] once signed and sealed.
pub const LIST_MAX_BYTES: usize = PEER_MESSAGE_MAX_BYTES - (64 << 10);
/// Documents in one list, where the user names no limit.
pub const LIST_DEFAULT: u32 = 20;
/// How long a snapshot of an on-demand document is kept.
pub const SNAPSHOT_LIFE: Span = Span::hours(24);
/// Snapshots kept at a time.
pub const SNAPSHOTS_MAX: usize = 1_000;
/// Streams one peer may hold open here.
pub const STREAMS_PER_PEER_MAX: usize = 8;
/// Accepted streams waiting for the server.
pub const STREAM_QUEUE_MAX: usize = 64;
/// Streams a node that is no active member may hold open here.
pub const STRANGER_STREAMS_MAX: usize = 1;
/// Bytes a second, each way, of everything that the connections of such a node carry.
pub const STRANGER_BYTES_PER_SECOND_MAX: u64 = 4 << 10;
/// Bytes such a node may be ahead of that: to connect, to say Hello and to ask to join.
pub const STRANGER_BURST_BYTES: u64 = 32 << 10;
/// Connections that nodes which are no active members hold in all.
pub const STRANGER_CONNECTIONS_MAX: usize = 256;
/// Connections of such nodes that come from one host.
pub const STRANGER_CONNECTIONS_PER_HOST_MAX: usize = 16;
/// Streams of one Yamux or QUIC connection: calls both ways, and what keeps the network together.
pub const MUXED_STREAMS_MAX: usize = 128;
/// Streams of one connection whose protocol is being agreed on.
pub const STREAMS_NEGOTIATING_MAX: usize = 32;
/// Bytes that may be under way on one QUIC stream.
pub const QUIC_STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// Bytes that may be under way on one QUIC connection.
pub const QUIC_CONNECTION_WINDOW_BYTES: u32 = 8 << 20;
/// Requests to open a stream that wait, in all and for one peer being dialled.
pub const OPEN_QUEUE_MAX: usize = 64;
/// Concurrent calls on one HTTP/2 connection.
pub const CALLS_PER_CONNECTION_MAX: u32 = 64;
/// Connections in all.
pub const CONNECTIONS_MAX: u32 = 2_000;
/// Connections of one peer, whichever side made them: each end may dial, and dead ones linger a while.
pub const CONNECTIONS_PER_PEER_MAX: u32 = 4;
/// Connections from outside whose handshake is under way.
pub const CONNECTIONS_PENDING_MAX: u32 = 128;
/// Connections from one host whose handshake is under way.
pub const CONNECTIONS_PENDING_PER_HOST_MAX: usize = 64;
/// Members that a node stays connected to; the others are dialled when they are called.
pub const NEIGHBOURS_MAX: usize = 32;
/// How long an HTTP/2 connection that nobody calls over is kept.
pub const CHANNEL_IDLE_MAX: Span = Span::seconds(60);
/// How long other members are asked where one of them is.
pub const FIND_MAX: Span = Span::seconds(3);
/// After which they are asked again about the same member.
pub const FIND_AGAIN: Span = Span::minutes(1);
/// Members that are looked for at a time.
pub const LOOK_UPS_MAX: usize = 32;
/// Bytes of one signed node record.
pub const NODE_RECORD_MAX_BYTES: usize = 8 << 10;
/// Streams being opened to one peer at a time; as many as libp2p queues for one connection.
pub const OPENS_PER_PEER_MAX: usize = 8;
/// Addresses of one node that are tried.
pub const ADDRESSES_PER_NODE_MAX: usize = 16;
/// How long a connection, its handshake or a stream on it may take to stand.
pub const CONNECT_MAX: Span = Span::seconds(5);
/// Calls of one peer that are worked on at a time, over all its connections.
pub const CALLS_PER_PEER_MAX: usize = 128;
/// Calls that are worked on at a time for a node that is no active member.
pub const STRANGER_CALLS_MAX: usize = 2;
/// Calls that are worked on in a minute for a node that is no active member: an applicant asks every
/// second, and once more where its operator waits.
pub const STRANGER_CALLS_PER_MINUTE_MAX: u32 = 180;
/// How long one call of a peer may take, and each part of its answer.
pub const CALL_TIME_MAX: Span = Span::seconds(60);
/// Longest wait before a lost member is dialled again.
pub const RECONNECT_MAX: Span = Span::seconds(30);
/// Jobs waiting for the pool of CPU-heavy work.
pub const WORK_QUEUE_MAX: usize = 256;
/// Batches waiting for the journal.
pub const JOURNAL_QUEUE_MAX: usize = 1_024;
/// Denials of one (peer, user, code) kept whole a day; the rest is counted (protocol.md 6).
pub const DENIALS_WHOLE_MAX: u32 = 20;
/// Sorts of denials, (peer, user, code), told apart in a day; those beyond share one count.
pub const FLOOD_KEYS_MAX: usize = 10_000;
/// Sorts of denials of one peer told apart; more users than these are not told apart.
pub const FLOOD_KEYS_PER_MEMBER_MAX: usize = 100;
/// Sealing keys in one key set.
pub const KEY_SET_KEYS_MAX: usize = 4;
/// Bytes of one public sealing key, whatever its suite.
pub const HPKE_PUBLIC_BYTES_MAX: usize = 4 << 10;
/// Addresses of one node record or ticket.
pub const NODE_ADDRESSES_MAX: usize = 16;
/// Bytes of one binary multiaddress.
pub const NODE_ADDRESS_BYTES_MAX: usize = 255;
/// Members in one answer to the exchange of members.
pub const MEMBERS_PAGE_MAX: usize = 100;
/// Bytes of what one such answer says of them: under [`PEER_MESSAGE_MAX_BYTES`] once sealed.
pub const MEMBERS_PAGE_MAX_BYTES: usize = PEER_MESSAGE_MAX_BYTES - (64 << 10);
/// Characters of an organisation's or a network's name.
pub const NAME_CHARS_MAX: usize = 200;
/// Characters of one code, MIME type or URI in a message.
pub const CODE_CHARS_MAX: usize = 256;
/// Characters of one text for people in a message.
pub const TEXT_CHARS_MAX: usize = 1_000;
/// Codes, labels, obligations or capabilities in one list.
pub const CODES_MAX: usize = 64;
/// Connections to the page of metrics at a time.
pub const METRICS_CONNECTIONS_MAX: usize = 4;
/// Bytes of the headers of a request for metrics.
pub const METRICS_HEADERS_MAX_BYTES: usize = 8 << 10;
/// How long a request for metrics may take, from connection to answer.
pub const METRICS_TIME_MAX: Span = Span::seconds(5);
/// How long a fetch that was answered may wait for its release.
pub const RELEASE_WAIT_MAX: Span = Span::hours(1);
/// Fetches of one asker that wait for their release.
pub const RELEASES_PER_ASKER_MAX: usize = 64;
/// Fetches that wait for their release, of all askers.
pub const RELEASES_PENDING_MAX: usize = 4_096;
/// Members one revocation list names.
pub const REVOKED_MAX: usize = 10_000;
/// A status key signs a heartbeat once the newest is this old: half of the six hours within which one
/// must be signed, so that a round that fails costs nothing (protocol.md 1).
pub const HEARTBEAT_EVERY: Span = Span::hours(3);
/// How long a node goes on disclosing without a newer heartbeat, where the charter says nothing.
pub const MAX_STALENESS: Span = Span::hours(72);
/// Members told at once of what this node decided.
pub const TOLD_MAX: usize = 256;
/// Members told at once of what this node heard; the rest hear it from others, or within a minute.
pub const TOLD_ON_MAX: usize = 8;
/// How long a member may take to hear news, and to give them.
pub const NEWS_TIME_MAX: Span = Span::seconds(5);
/// Shortest pause between two rounds of asking members that said they have news.
pub const NEWS_PAUSE: Span = Span(100);
/// Characters of the reason for a revocation.
pub const REASON_CHARS_MAX: usize = 500;
/// How long an HTTP proxy may take to answer a CONNECT.
pub const PROXY_ANSWER_MAX: Span = Span::seconds(4);
/// Members a node is relayed by at a time.
pub const RELAYS_PER_NODE_MAX: usize = 2;
/// Members that one relay relays for.
pub const RELAY_RESERVATIONS_MAX: usize = 256;
/// Connections of one member that one relay keeps for it.
pub const RELAY_RESERVATIONS_PER_PEER_MAX: usize = 2;
/// How long a relay relays before it is asked again.
pub const RELAY_RESERVATION_LIFE: Span = Span::hours(1);
/// Connections that one relay carries at a time.
pub const RELAY_CIRCUITS_MAX: usize = 256;
/// Those of them that one member began.
pub const RELAY_CIRCUITS_PER_PEER_MAX: usize = 16;
/// How long one of them lives.
pub const RELAY_CIRCUIT_LIFE: Span = Span::hours(2);
/// Bytes that one of them carries.
pub const RELAY_CIRCUIT_BYTES_MAX: u64 = 1 << 30;
/// Reservations, and connections, that one member may ask a relay for at once; one more comes back every
/// [`RELAY_ASK_EVERY`].
pub const RELAY_ASKS_MAX: u32 = 60;
/// See [`RELAY_ASKS_MAX`].
pub const RELAY_ASK_EVERY: Span = Span::seconds(10);
/// Own addresses that others say they see and that are tried, or believed.
pub const ADDRESS_CANDIDATES_MAX: usize = 16;
