//! How the memory is split, and how RocksDB is set up.

use rocksdb::{
    BlockBasedOptions, Cache, DBCompressionType, DataBlockIndexType, Env, Error, LogLevel, Options,
    WriteBufferManager,
};

/// What one process may spend on state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Everything together: see [`Budget::object_cache_bytes`] and its neighbours for the split.
    pub memory_bytes: usize,
    /// Table files kept open. More are opened and closed on demand.
    pub open_files_max: i32,
}

const MIB: usize = 1 << 20;

impl Default for Budget {
    fn default() -> Self {
        Self { memory_bytes: 256 * MIB, open_files_max: 1_000 }
    }
}

impl Budget {
    /// A quarter holds values as handlers read them, before RocksDB is asked.
    pub fn object_cache_bytes(&self) -> usize {
        self.memory_bytes / 4
    }

    /// The rest is one block cache for all columns: blocks, indexes, filters and, charged to it,
    /// the write buffers.
    pub fn block_cache_bytes(&self) -> usize {
        self.memory_bytes - self.object_cache_bytes()
    }

    /// Write buffers may take a quarter of the whole; beyond it they are flushed, and nobody waits.
    pub fn write_buffers_bytes(&self) -> usize {
        self.memory_bytes / 4
    }

    /// One column's write buffer. `atomic_flush` writes all columns out when one is full, so a
    /// small one would cut the others into splinters; the manager's sum is the real limit.
    fn write_buffer_bytes(&self) -> usize {
        (self.write_buffers_bytes() / 2).clamp(MIB, 32 * MIB)
    }
}

/// What all columns share.
pub(super) struct Memory {
    pub budget: Budget,
    pub cache: Cache,
    pub buffers: WriteBufferManager,
}

impl Memory {
    pub fn new(budget: Budget) -> Self {
        // An estimated charge of 0 lets the cache size its table by itself.
        let cache = Cache::new_hyper_clock_cache(budget.block_cache_bytes(), 0);
        let buffers = WriteBufferManager::new_write_buffer_manager_with_cache(
            budget.write_buffers_bytes(),
            false,
            cache.clone(),
        );
        Self { budget, cache, buffers }
    }

    pub fn database_options(&self) -> Result<Options, Error> {
        let mut options = Options::default();
        // Compaction can wait where cores are scarce; it has all of them once writers wait for it.
        let mut env = Env::new()?;
        env.lower_thread_pool_cpu_priority();
        options.set_env(&env);
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        // IMPORTANT: without a write-ahead log, this alone makes a crash leave one consistent
        // state over all columns.
        options.set_atomic_flush(true);
        options.set_write_buffer_manager(&self.buffers);
        options.set_max_background_jobs(2);
        options.set_max_open_files(self.budget.open_files_max);
        // Time to open must not grow with the number of files.
        options.set_skip_stats_update_on_db_open(true);
        options.set_max_manifest_file_size(8 * MIB);
        options.set_log_level(LogLevel::Warn);
        options.set_keep_log_file_num(4);
        options.set_max_log_file_size(MIB);
        options.set_stats_dump_period_sec(0);
        Ok(options)
    }

    pub fn column_options(&self) -> Options {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&self.cache);
        table.set_cache_index_and_filter_blocks(true);
        table.set_cache_index_and_filter_blocks_with_high_priority(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        table.set_bloom_filter(10.0, false);
        table.set_optimize_filters_for_memory(true);
        table.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);

        let mut options = Options::default();
        options.set_block_based_table_factory(&table);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_level_compaction_dynamic_level_bytes(true);
        options.set_write_buffer_size(self.budget.write_buffer_bytes());
        // Many columns hold little: an arena block of the default size each would be the budget.
        options.set_arena_block_size(64 << 10);
        options.set_memtable_whole_key_filtering(true);
        options.set_memtable_prefix_bloom_ratio(0.02);
        // Writers wait for nothing but the sum of all buffers.
        options.set_max_write_buffer_number(4);
        // A flush every few seconds leaves many small files in level 0. Each compaction of them
        // writes the level below anew: let them gather, and keep that level small.
        options.set_level_zero_file_num_compaction_trigger(8);
        options.set_level_zero_slowdown_writes_trigger(24);
        options.set_level_zero_stop_writes_trigger(40);
        options.set_max_bytes_for_level_base(64 * MIB as u64);
        options.set_target_file_size_base(16 * MIB as u64);
        options
    }

    /// Bytes in use, by part. The write buffers are charged to the block cache as well.
    pub fn usage(&self) -> [(&'static str, u64); 3] {
        let bytes = |size: usize| u64::try_from(size).unwrap_or(u64::MAX);
        [
            ("block_cache", bytes(self.cache.get_usage())),
            ("block_cache_pinned", bytes(self.cache.get_pinned_usage())),
            ("write_buffers", bytes(self.buffers.get_usage())),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_the_whole() {
        let budget = Budget { memory_bytes: 100 * MIB, ..Budget::default() };
        let parts = budget.object_cache_bytes() + budget.block_cache_bytes();
        assert_eq!(parts, budget.memory_bytes);
        assert!(budget.write_buffers_bytes() < budget.block_cache_bytes());
    }
}
