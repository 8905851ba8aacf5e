// Where an operator sees the agent: its log, and the pages of its health and its metrics. The settings move them while the agent runs.
import { createHealth, healthPages, metricsPages, type OpenLog, outputsOf, type Registry, startPages } from '@calico-openstack/agent';
import type { FelixConfig } from './option-table.ts';

/** The log, and the pages of health and metrics. No page is served before `configure`. */
export class Outputs {
  readonly #output: OpenLog;
  readonly #pages;
  /** The health of the agent, for parts that report theirs. */
  readonly health = createHealth();
  /** The agent's own components, called as upstream's Felix calls them. */
  readonly components = {
    startup: this.health.register('FelixStartup'),
    calculation: this.health.register('CalculationGraph'),
    dataplane: this.health.register('InternalDataplaneMainLoop'),
  };

  /** @param registry the metrics to serve */
  constructor(output: OpenLog, registry: Registry) {
    this.#output = output;
    this.#pages = {
      health: startPages('health', healthPages(this.health), output.log),
      metrics: startPages('metrics', metricsPages(registry), output.log),
    };
  }

  /** Moves log, health and metrics to where the settings want them. */
  configure(config: FelixConfig): void {
    const { log, health, metrics } = outputsOf(config);
    try {
      this.#output.configure(log);
    } catch (error) {
      this.#output.log.error({ err: error, file: config.LogFilePath }, 'cannot write this log file; the log stays where it was; correct LogFilePath');
    }
    this.#pages.health.serve(health);
    this.#pages.metrics.serve(metrics);
  }

  /** Closes the pages. The log stays open. */
  async close(): Promise<void> {
    await Promise.all([this.#pages.health.close(), this.#pages.metrics.close()]);
  }
}
