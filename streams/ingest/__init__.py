"""The ingest roles: what others announce becomes uploads and deletions.

`intake` takes events and tusd's hooks that come by HTTP: checked, published, and answered when the broker has them.
The rest is about notifications of buckets, by rules:

```
S3, MinIO, Ceph, EventBridge ──> notifications topic ──> ingest ─┬─> media.uploaded   uploads, and deletions
                                     rules ─────────────────┤    └─> thumbnail.dlq    what cannot be read or placed
                                     platform's rows (look-up) ──┘
```

A record has one or more changes of objects, or none. Each step, and what happens when it fails:

1. The record is read (`notifications`). A record that is no notification becomes a dead letter. Tests, tags, access, folders and
   versions that are no longer current are passed over, and counted.
2. The first rule that matches the object says whose media it is (`rules`). An object that no rule matches is counted and
skipped; the log names each bucket and first folder once. Our own thumbnails never come to a rule.
3. Where the rule says so, the media is the row that has the object's path (`streams.rows.by_path`). A row may be written
   after its object: the batch waits, up to INGEST_ROW_WAIT_S after the notification. After that an upload becomes a dead
   letter, to be replayed; a removed object without a row shows nothing, and is passed over. A database that is away is
   waited for, and for the rows once more after it.
4. The events are produced to media.uploaded, and dead letters to thumbnail.dlq; all in-sync replicas acknowledge them.
   A cluster that takes nothing is waited for.
5. The offsets are committed. A process that dies before this repeats the batch: the ids of its events are made of
   the notification, so the repetition changes nothing.
"""
