/**
 * Every bound of mirrorgate that a user cannot set, in one place, each with its reason.
 * Bounds that a user can set have their defaults and ranges in `src/config/schema.ts`.
 */

const KIB = 1024
const MIB = 1024 * KIB

export const limits = Object.freeze({
  /**
   * Bytes of one slab. Each wakes main and a recorder up, which costs caches of everybody on the core: large
   * enough that this is rare, small enough that a thread has several of them.
   */
  slab_bytes_max: 4 * MIB,
  slab_bytes_min: MIB,
  /** Slabs that a data thread wants: it gets smaller ones before it gets fewer. */
  slabs_per_thread: 8,
  /** Slabs a data thread has at least, so that one can fill while another is being recorded. */
  slabs_per_thread_min: 2,
  /** Part of `capture.buffer_bytes` that goes to slabs; the rest belongs to open exchanges. */
  slab_share: 0.5,
  /** A captured body may not need more than this, so that a record always fits the memory of a thread. */
  body_bytes_max: 16 * MIB,

  /**
   * Young generation of a data thread, MiB: V8's own bound lets RSS grow by 40 MiB, and neither throughput
   * nor latency is better for it (measured: off and dead, 12 to 96 MiB).
   */
  data_thread_young_mib: 32,

  /**
   * Descriptors that are kept for the gateway itself: 45 are open after a start, the rest is for segments,
   * uploads, exports, the admin port, and clients that are being refused.
   */
  descriptors_own: 128,
  /** Of a data thread: its event loop, its listener, its channel (7 were seen). */
  descriptors_per_thread: 8,
  /** Client connections that are taken however few descriptors there are. */
  client_connections_min: 16,

  /** Names that may exist in one process life; their counter cells are never reused for another name. */
  mirrors_max: 256,
  /** Each has a queue per source, and the log is read for all of them. */
  streams_max: 128,
  collections_max: 1024,
  upstreams_max: 4096,
  mirrors_per_collection_max: 16,

  /** Bytes after which a segment is rolled. */
  segment_bytes: 8 * MIB,
  /**
   * A segment is at least this fraction of its leg's spool, so that drop_oldest gives up little at a time.
   */
  segment_share_of_spool: 1 / 8,
  segment_bytes_min: 64 * KIB,
  /**
   * Age after which a segment is rolled; longer while its leg is parked, so that an outage makes few files.
   */
  segment_age_ms: 60_000,
  segment_age_parked_ms: 600_000,
  segments_per_leg_max: 10_000,
  /**
   * Full segments of a leg that wait for their flush, with a descriptor each; one more, and a recorder
   * flushes the oldest before it goes on. Few: where all is well the first is delivered, and waits for
   * nothing, before the third is full.
   */
  segments_unflushed_max: 2,
  /** Free disk below this stops spooling (`spool_full`): the store must be able to go on writing. */
  disk_free_min_bytes: 64 * MIB,
  /** The store is not opened with less free disk than this. */
  store_free_min_bytes: MIB,
  /** On a small disk the floor is this fraction of it instead. */
  disk_free_min_share: 0.05,

  /** Plugins outside the tree: each is loaded by main and by every thread that delivers or reads a file. */
  plugins_max: 32,
  /** Time that the module of a plugin may take to load: an `await` in it must not hold a start for good. */
  plugin_load_ms: 10_000,

  /**
   * What was delivered is noted this much later at most: a commit costs as much as a hundred items, and what
   * a kill comes before is sent again, under its id.
   */
  ledger_write_ms: 200,
  /**
   * So long after it was written a frame is taken to be in memory, and read without another thread: what was
   * written last is what a kernel gives up last.
   */
  frame_fresh_ms: 5000,
  /** Frames of a large batch: parts that fill batches to the last one, whatever a slab gave. */
  frames_per_batch: 5,
  /** A smaller batch is one frame: every frame costs a write. */
  batch_items_split_min: 100,
  /** Bytes of a collector's answer that are read before its socket is closed (trap A7). */
  answer_read_bytes: 64 * KIB,
  /** Bytes of a collector's answer that are kept for people. */
  answer_kept_bytes: KIB,
  /** A Retry-After above this is taken as this. */
  retry_after_ms_max: 3_600_000,
  /** The longest wait between two probes of a parked leg. */
  probe_ms_max: 60_000,
  /** Time a sink has to end after its write was aborted, before it is given up. */
  sink_grace_ms: 1000,
  /** Memory of batches is lent in powers of two from here on. */
  batch_memory_bytes_min: 64 * KIB,
  /** Memory of delivered batches that a shipper thread keeps for the next ones. */
  batch_memory_spare_bytes: 16 * MIB,
  /** Open sinks of one shipper thread; the least recently used idle one is closed for another. */
  sinks_per_thread_max: 128,
  /** Files of one batch that go to an object store at the same time. */
  uploads_per_batch_max: 16,
  /** Bytes of the name of an object, without its ending: 1024 is the bound of S3, Azure and Google. */
  object_key_bytes_max: 1000,
  /** Bytes of one value in it, so that several always fit. */
  object_key_value_bytes_max: 128,
  /** Dead letters kept of one leg; beyond it the oldest is dropped (`spool_full`). */
  dead_letters_per_leg_max: 1000,
  /** Damaged segment files kept aside for people, of one leg. */
  quarantined_segments_max: 16,
  dead_letter_page_max: 100,

  /** Content-codings that one body may have on top of each other; more is nobody's intention. */
  decode_codings_max: 4,
  /**
   * Decoding gives at most `body_bytes`, and may run this many times as far on the way: what is cut to its
   * first bytes then needs one try in most cases.
   */
  decode_room_factor: 8,
  decode_room_bytes_min: 64 * KIB,
  decode_room_bytes_max: 4 * MIB,
  /** Tries to find the first bytes of what exceeds that room; each one is bounded, so a bomb is. */
  decode_tries_max: 6,
  /** Spellings of header names that a recorder remembers. */
  header_spellings_max: 4096,
  /** JSON nesting that the field redactor follows for pointers; fields by name are found at any depth. */
  json_depth_max: 512,

  /**
   * Pipelined requests of one data thread that wait for their turn, over all its connections: one read of a
   * socket can bring thousands of them, whatever `listen.limits.pipelined` says; beyond this their connection
   * is closed.
   */
  pipelined_waiting_max: 20_000,
  /** Characters of a method before it is known to be one: the longest registered one has 17. */
  method_chars_max: 256,
  /**
   * Client connections above the limit, of all threads, that are told so; more are closed without a word, so
   * that a flood of them takes no descriptors from the rest.
   */
  refused_connections_max: 64,
  /**
   * A connection that closes with unread input goes on reading this long, so that its last answer is not
   * lost to a reset.
   */
  linger_ms: 1000,

  /** Interim answers before one answer: each is relayed at once, nothing else would end a flood of them. */
  interim_answers_max: 32,
  /** Bytes of all chunk extensions of one answer: nobody reads them (Node's bound for requests, too). */
  chunk_extension_bytes: 16 * KIB,

  /** `x-request-id` of a client is kept up to this length. */
  request_id_chars_max: 128,
  /**
   * Bytes of an unread request body that are drained after an early answer; beyond it the connection
   * closes.
   */
  early_answer_drain_bytes: MIB,

  /**
   * Bytes of one activity entry as it is stored: a page of 100 stays within a few MiB, and no entry can block
   * a page (trap E1).
   */
  activity_entry_bytes_max: 64 * KIB,
  /** Entries of one append, which is one transaction with all that belongs to it. */
  activity_append_entries_max: 1000,
  /** Entries that one transaction takes from the queue: its commit must not hold others up. */
  activity_group_entries_max: 2000,
  /** Bytes that one transaction takes from the queue. */
  activity_group_bytes_max: 8 * MIB,
  /** Bytes that may wait to be written; more is refused with 503. */
  activity_queue_bytes_max: 64 * MIB,
  /** Entries of the log that a shipper thread keeps for other streams that read the same. */
  activity_runs_bytes: 16 * MIB,
  /** How long an idempotency key is known. */
  idempotency_ms: 86_400_000,
  /** Idempotency keys that are known at a time; the oldest gives way. */
  idempotency_keys_max: 500_000,
  idempotency_key_chars_max: 255,

  /** Bytes of one posted event: a job with all its data. */
  posted_event_bytes_max: 64 * MIB,
  /**
   * Nesting of a posted event, and of any event whose fields are read: what is deeper is text as a whole,
   * since whoever walks over fields, or writes them again, does so recursively.
   */
  event_depth_max: 512,
  /** Bytes of a body of posted events; what is larger comes in several. */
  posted_body_bytes_max: 256 * MIB,
  /** Events of one body: each is remembered until all are judged. */
  posted_events_max: 100_000,
  /** A body up to here stays in memory on its way; a larger one goes over a file. */
  posted_memory_bytes: MIB,
  /** Bodies of posted events that are taken at a time; one more is refused with 503. */
  posts_max: 4,

  /** Tags of a workspace: a list reads all of them, at about 5 µs each. */
  tags_max: 2000,
  /** Things that bear tags, each tag counted: deleting a tag removes its own in one transaction. */
  tag_assignments_max: 100_000,
  /** Tags times targets of one request, written in one transaction. */
  tag_changes_per_request_max: 10_000,
  /** Tags that a collection bears, or a rule asks for, in a configuration. */
  tags_per_list_max: 100,

  /** Bytes of a secrets manager's answer; the largest secret that one of them stores is half of this. */
  secret_answer_bytes: MIB,
  /** Time to read a secret of this machine when gateway.yaml is read. */
  secret_load_ms: 2000,
  /** Time for one request to a secrets manager, also where nobody waits for it (a token's renewal). */
  secret_request_ms: 30_000,

  /** Bytes of one event of a stream; above it its lines are left out (the documented size of a log). */
  event_bytes_max: 40 * MIB,
  /** Characters of a message template: nobody writes more, and each one is kept by every shipper thread. */
  template_chars_max: 64 * KIB,
  /** Nesting of a message template, which is read recursively. */
  template_depth_max: 64,
  /** Templates and other plans of messages that a thread keeps compiled. */
  render_plans_kept: 64,
  /** Pairs in the extension of one CEF line, and characters of one value: what receivers still index. */
  cef_pairs_max: 200,
  cef_value_chars_max: 4096,

  /** Incidents that are kept; the oldest closed ones give way. The admin port looks through all of them. */
  incidents_max: 5000,
  /** Open ones, which are in memory: more than things that can be configured to fail at once, in practice. */
  incidents_open_max: 2000,
  /** Old incidents that one transaction removes. */
  incidents_removed_at_once_max: 500,
  /** Texts of an incident that come from outside (errors, answers) are cut to this. */
  incident_text_chars_max: 1024,
  /** Elements of a list in an incident, and mirrors or problems that a message names. */
  incident_list_max: 20,
  incident_page_max: 100,
  /** What waited is replayed after an outage; its end is told after this, whatever still waits. */
  incident_drain_ms: 600_000,
  /** Between two looks at a stream's pace through the log: long enough that several batches end within it. */
  log_pace_ms: 60_000,
  /** Wall and monotonic clock may differ by this between two looks, a second apart: NTP slews stay below. */
  clock_jump_ms: 5000,
  /** Messages that wait for a channel; the oldest gives way. */
  notices_pending_max: 2000,
  /** A message that could not be sent for so long is of no use any more. */
  notice_age_ms_max: 604_800_000,
  /** A stop waits so long for the answer to a message that is on its way: most mail servers need less. */
  notice_at_stop_ms_max: 5000,
  /** Incidents that one digest lists; it says how many more there are. */
  digest_incidents_max: 100,

  admin_body_bytes: MIB,
  /** Bytes of all that the API defined, as JSON: as much as a file may hold, since both are loaded as one. */
  api_definitions_bytes: 4 * MIB,
  /**
   * Values of one definition that the API is given: more than all its lists may hold, and judged in a few
   * hundred milliseconds at most, while the admin port answers nobody else.
   */
  api_definition_values_max: 10_000,
  /** Paths that one change of a resource lists, in its answer and in its entry: beyond it nobody reads on. */
  resource_changes_max: 100,
  /** A longer value is left out of such a list: its path says enough, and entries stay small. */
  resource_change_chars_max: 200,
  config_file_bytes: 4 * MIB,
  /**
   * Time and memory of the thread that reads a configuration: a valid one of 4 MiB took 10 s on a slow core,
   * and fits twice; one that was made to cost more ends the thread, not the gateway.
   */
  config_load_ms: 30_000,
  config_load_heap_mib: 512,
  /** Configurations that are being checked or wait for it: each holds its text. */
  config_checks_max: 16,
  config_problems_max: 200,
  /**
   * Values of a configuration, aliases counted each time they stand for something: ends a "billion laughs".
   */
  config_values_max: 500_000,
  config_depth_max: 64,
  /** Failed sign-ins per address and minute before 429. */
  sign_in_failures_per_minute: 10,
  /** Client addresses whose failed sign-ins are remembered; the oldest gives way. */
  sign_in_addresses_max: 10_000,
  /**
   * Failed sign-ins of all addresses together and minute: beyond it only addresses that signed in before may
   * try, so that guessing from many addresses is no faster than from a few.
   */
  sign_in_failures_per_minute_all: 1000,
  /** Addresses that signed in, which such a flood does not lock out; the one seen longest ago gives way. */
  sign_in_known_addresses_max: 1000,
  /** Clients made by API; all of them are in memory. */
  clients_max: 1000,
  /** How long an old token may work beside its successor: a week to change it everywhere. */
  client_overlap_ms_max: 604_800_000,
  /** Time between two writes of when a client came last: a busy one must not write with every request. */
  client_used_write_ms: 60_000,
  /** Sessions of the console: a client's own one used longest ago gives way, then anybody's. */
  sessions_per_client_max: 32,
  sessions_max: 4096,
  /** A session that nobody uses is over after half an hour, and every one after a working day. */
  session_idle_ms: 1_800_000,
  session_max_ms: 43_200_000,
  /**
   * Open connections of the admin port; one more is refused, so that idle ones cannot use up the
   * descriptors.
   */
  admin_connections_max: 512,
  /** Problems of one request that are listed in its answer. */
  admin_problems_max: 50,

  /** Activity entries of the gateway itself on their way to the disk; more are counted as failed. */
  activity_pending_max: 10_000,
  /** Texts of an activity entry that come from outside (user agents, errors) are cut to this. */
  activity_text_chars_max: 1024,
  /** Changed paths that one activity entry names; it says how many there are in all. */
  activity_changes_max: 100,
  /** Legs times reasons of one minute whose losses get an entry of their own; one tells of all others. */
  loss_kinds_max: 4096,
  /** Addresses of one minute that get an entry of their own for failed sign-ins; one tells of all others. */
  sign_in_failed_entries_max: 64,
  /** Parameters of one query, and values of one list: more than fit a head of 16 KiB with any meaning. */
  query_parameters_max: 1000,
  /** Brackets behind one name of a query: `q[handle_in][]` needs two. */
  query_depth_max: 4,
  /** Entries of one page of the activity log: the documented maximum, and the default. */
  activity_page_max: 100,
  /** Values of one filter of the activity log; each costs a lookup per block of the index. */
  activity_filter_values_max: 500,
  /** A text that entries are searched for: no value that people look for is longer. */
  activity_query_chars_max: 200,
  /** Searches for text at a time, pages and counts: each reads every entry that its other filters leave. */
  activity_searches_max: 2,
  /** Such a search: clients and proxies give a request up after 30 s; it should be told why before. */
  activity_search_ms: 25_000,
  /** Event types and types of resources, which stand in the index once per block. */
  activity_type_chars_max: 128,
  /** Nesting of an entry from outside; whoever writes JSON again does it recursively. */
  activity_depth_max: 32,
  /** Destinations of audit webhooks, and webhooks: each is a connection or a stream. */
  audit_destinations_max: 100,
  audit_webhooks_max: 100,
  /** How far back an audit webhook may be replayed: Konnect keeps seven days. */
  audit_replay_ms_max: 7 * 86_400_000,
  /** Exports of the activity log at a time: each reads the whole log. */
  activity_exports_max: 8,
})

/** Relations between the bounds that the code relies on; throws at start-up when one is broken. */
export function assertLimits(): void {
  const broken = (
    [
      ['a segment holds at least one slab', limits.segment_bytes >= limits.slab_bytes_max],
      ['kept part of an answer is within what is read', limits.answer_kept_bytes <= limits.answer_read_bytes],
      [
        'parked segments live at least as long as others',
        limits.segment_age_parked_ms >= limits.segment_age_ms,
      ],
      ['slabs leave memory for open exchanges', limits.slab_share < 1],
    ] as const
  ).filter(([, holds]) => !holds)
  if (broken.length > 0)
    throw new Error(`limits contradict each other: ${broken.map(([rule]) => rule).join('; ')}`)
}
