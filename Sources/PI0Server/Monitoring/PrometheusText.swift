import Wormhole

/// The statistics in Prometheus' text format, version 0.0.4.
struct PrometheusText {
  private(set) var text = ""

  init(_ state: ServerStatistics.State, cards: [CardInformation], usage: ProcessUsage) {
    add("pi0_clients", "gauge", "Clients that are connected.", state.clients)
    add("pi0_connections_total", "counter", "Clients that ever connected.", state.connections)
    add("pi0_waiting_requests", "gauge", "Requests that wait for their turn.", state.waiting)
    add(
      "pi0_wait_seconds", "From a request's last byte until its inference begins.",
      state.waitingTimes)
    add("pi0_inference_seconds", "From an observation to its actions.", state.inferenceTimes)
    head("pi0_errors_total", "counter", "Requests that failed, by reason.")
    for kind in ServerStatistics.ErrorKind.allCases {
      text += "pi0_errors_total{reason=\"\(kind.rawValue)\"} \(state.errors[kind] ?? 0)\n"
    }
    head("pi0_refused_total", "counter", "Connections that were refused, by reason.")
    for refusal in ServerStatistics.Refusal.allCases {
      text +=
        "pi0_refused_total{reason=\"\(refusal.rawValue)\"} \(state.refusals[refusal] ?? 0)\n"
    }
    add("pi0_received_bytes_total", "counter", "Bytes of all messages.", state.receivedBytes)
    add("pi0_sent_bytes_total", "counter", "Bytes of all answers.", state.sentBytes)
    addCards("pi0_card_temperature_celsius", "Temperature of a card.", cards, \.temperature)
    addCards("pi0_card_power_watts", "Power that a card takes.", cards, \.power)
    if let bytes = usage.residentBytes {
      add("process_resident_memory_bytes", "gauge", "Memory of the process.", bytes)
    }
    if let descriptors = usage.openDescriptors {
      add("process_open_fds", "gauge", "Open file descriptors.", descriptors)
    }
    add("process_cpu_seconds_total", "counter", "Processor time.", usage.processorSeconds)
  }

  private mutating func head(_ name: String, _ type: String, _ help: String) {
    text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
  }

  private mutating func add(
    _ name: String, _ type: String, _ help: String, _ value: some CustomStringConvertible
  ) {
    head(name, type, help)
    text += "\(name) \(value)\n"
  }

  private mutating func add(_ name: String, _ help: String, _ histogram: Histogram) {
    head(name, "histogram", help)
    var within = 0
    for (bound, count) in zip(Histogram.bounds, histogram.counts) {
      within += count
      text += "\(name)_bucket{le=\"\(bound)\"} \(within)\n"
    }
    text += "\(name)_bucket{le=\"+Inf\"} \(histogram.count)\n"
    text += "\(name)_sum \(histogram.sum)\n\(name)_count \(histogram.count)\n"
  }

  private mutating func addCards(
    _ name: String, _ help: String, _ cards: [CardInformation],
    _ reading: KeyPath<CardTelemetry, Double?>
  ) {
    let readings = cards.compactMap { card in
      card.telemetry[keyPath: reading].map { (card.index, $0) }
    }
    if readings.isEmpty { return }
    head(name, "gauge", help)
    for (index, value) in readings { text += "\(name){card=\"\(index)\"} \(value)\n" }
  }
}
