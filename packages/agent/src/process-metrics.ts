// Metrics of the process itself, under the names that all of Prometheus's client libraries give them. Their values are computed when the page of metrics is requested.
import { readdirSync, readFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Counter, Gauge, type Registry } from 'prom-client';

const gauges: Readonly<Record<string, { readonly help: string; read(): number }>> = {
  process_resident_memory_bytes: { help: 'Bytes of memory that the process has in use.', read: () => process.memoryUsage.rss() },
  process_virtual_memory_bytes: {
    help: 'Bytes of virtual memory that the process has mapped.',
    read: () => 1024 * Number(/VmSize:\s+(\d+)/.exec(proc('status'))?.[1]),
  },
  process_open_fds: { help: 'Files and sockets that the process has open.', read: () => readdirSync('/proc/self/fd').length },
  process_max_fds: {
    help: 'The greatest number of files and sockets that the process may have open.',
    read: () => Number(/Max open files\s+(\d+)/.exec(proc('limits'))?.[1]),
  },
  nodejs_eventloop_lag_max_seconds: {
    help: 'The longest turn of the event loop in about the last minute, in seconds, during which nothing else ran; exact to 20 ms. It is measured from the first scrape on.',
    read: () => longestTurnMs() / 1000,
  },
  process_start_time_seconds: { help: 'When the process was started, in seconds since 1970.', read: () => startedAtSeconds },
};

const startedAtSeconds = (Date.now() - performance.now()) / 1000;
const proc = (file: string): string => readFileSync(`/proc/self/${file}`, 'utf8');

const resolutionMs = 20;
const periodMs = 60_000;
/** The histogram that measures turns, the time at which its present period began, and the longest turn of the period before. */
let measuring: { readonly histogram: ReturnType<typeof monitorEventLoopDelay>; sinceMs: number; beforeMs: number } | undefined;

/**
 * The longest turn of the event loop in this period and the one before. Node measures it with a timer that notices when it runs late. That costs little, but wakes the process, so it is
 * started when the page is requested for the first time.
 */
function longestTurnMs(): number {
  if (!measuring) {
    const histogram = monitorEventLoopDelay({ resolution: resolutionMs });
    histogram.enable();
    measuring = { histogram, sinceMs: performance.now(), beforeMs: 0 };
    return 0;
  }
  const { histogram, sinceMs, beforeMs } = measuring;
  const ms = Math.max(0, histogram.max / 1e6 - resolutionMs); // the timer's own interval is no delay
  if (performance.now() - sinceMs >= periodMs) {
    histogram.reset();
    measuring.sinceMs = performance.now();
    measuring.beforeMs = ms;
  }
  return Math.max(ms, beforeMs);
}

/** Adds the metrics of this process to a registry. */
export function addProcessMetrics(registry: Registry): void {
  new Counter({
    name: 'process_cpu_seconds_total',
    help: 'Seconds of processor time that the process has used.',
    registers: [registry],
    collect() {
      const { user, system } = process.cpuUsage();
      this.reset();
      this.inc((user + system) / 1e6);
    },
  });
  for (const [name, { help, read }] of Object.entries(gauges))
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(read());
      },
    });
}
