//! Where things are kept: the names of the keys.
//!
//! | key | what |
//! | --- | --- |
//! | `{ns:group}:shards` | the number of shards of the group |
//! | `{ns:group:shard}:<id>` | the log of a transaction: a string |
//! | `{ns:group:shard}:due` | the unfinished ones by when they are due: a sorted set |
//! | `{ns:group:shard}:kept` | those kept for ever, all with score 0: a sorted set |
//!
//! The number of shards never expires: without it the logs of its group might be looked for in the wrong shards.
//!
//! The braces put a shard's logs and indexes into one slot of a cluster, so that one script may write them together.

use tcc_core::protocol::{Group, TxId};

use crate::text;

/// The digits of a transaction's id at the end of a log's key.
const ID: usize = 32;

/// The keys of a group.
#[derive(Debug)]
pub(crate) struct GroupKeys {
    shards: Vec<ShardKeys>,
}

/// The keys of a shard.
#[derive(Debug)]
pub(crate) struct ShardKeys {
    pub(crate) due: String,
    pub(crate) kept: String,
    /// What a transaction's id follows.
    prefix: String,
}

impl GroupKeys {
    pub(crate) fn new(namespace: &str, group: &Group, shards: u16) -> Self {
        Self { shards: (0..shards).map(|shard| ShardKeys::new(namespace, group, shard)).collect() }
    }

    pub(crate) fn shards(&self) -> &[ShardKeys] {
        &self.shards
    }

    /// The number of the shard that a transaction belongs to, for ever.
    pub(crate) fn index_of(&self, id: TxId) -> usize {
        let shards = self.shards.len();
        if shards == 1 {
            return 0;
        }
        // The end of an id is random, or a part of a digest; its beginning is a time.
        let mut random = [0; 8];
        random.copy_from_slice(&id.as_bytes()[8..]);
        (u64::from_be_bytes(random) % shards as u64) as usize
    }

    pub(crate) fn of(&self, id: TxId) -> &ShardKeys {
        &self.shards[self.index_of(id)]
    }
}

impl ShardKeys {
    fn new(namespace: &str, group: &Group, shard: u16) -> Self {
        let prefix = format!("{{{namespace}:{group}:{shard}}}:");
        Self { due: format!("{prefix}due"), kept: format!("{prefix}kept"), prefix }
    }

    /// The length of the key of a log.
    pub(crate) fn log_len(&self) -> usize {
        self.prefix.len() + ID
    }

    /// Puts the key of a log into `key`, in place of what is there.
    pub(crate) fn write_log(&self, id: TxId, key: &mut Vec<u8>) {
        key.clear();
        key.extend_from_slice(self.prefix.as_bytes());
        text::write_hex(key, id.as_bytes());
    }

    /// The key of a log.
    pub(crate) fn log(&self, id: TxId) -> Vec<u8> {
        let mut key = Vec::with_capacity(self.log_len());
        self.write_log(id, &mut key);
        key
    }
}

/// The key of a group's number of shards.
pub(crate) fn shards_key(namespace: &str, group: &Group) -> String {
    format!("{{{namespace}:{group}}}:shards")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_a_shard_share_a_slot() {
        let keys = GroupKeys::new("tcc", &Group::new("shop").unwrap(), 1);
        let id: TxId = "0192f0c1a0b070008000000000000001".parse().unwrap();
        assert_eq!(keys.of(id).due, "{tcc:shop:0}:due");
        assert_eq!(keys.of(id).kept, "{tcc:shop:0}:kept");
        assert_eq!(keys.of(id).log(id), format!("{{tcc:shop:0}}:{id}").into_bytes());
        assert_eq!(keys.of(id).log(id).len(), keys.of(id).log_len());
    }

    #[test]
    fn a_transaction_stays_in_its_shard() {
        let keys = GroupKeys::new("tcc", &Group::new("shop").unwrap(), 4);
        let shard = |text: &str| keys.index_of(text.parse().unwrap());
        assert_eq!(shard("0192f0c1a0b070008000000000000001"), 1);
        assert_eq!(shard("0192f0c1a0b070008000000000000007"), 3);
    }
}
