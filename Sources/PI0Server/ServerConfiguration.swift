import NIOCore

/// Where a server listens, whom it lets in, and what it takes from them.
public struct ServerConfiguration: Sendable {
  /// The address to listen at. Unless it is changed, only programs on this machine can connect.
  public var host = "127.0.0.1"
  /// The port; 0 for any that is free.
  public var port = 8000
  /// Keys of which a client must present one; without any, everybody is let in.
  public var apiKeys: APIKeys?
  /// Certificate and key, for connections that are encrypted.
  public var tls: TLSFiles?
  /// What a message may have at most.
  public var messageLimits = MessageLimits()
  /// Clients at a time. Each may hold some messages in memory: the one that waits for its turn,
  /// and what came before reading stopped.
  public var maximumClients = 128
  /// Connections of browsers and monitoring at a time.
  public var maximumVisitors = 64
  /// How long a request of HTTP may take, until the last byte of its answer.
  public var requestTime = TimeAmount.seconds(10)
  /// How long a message in several fragments may take.
  public var messageTime = TimeAmount.seconds(30)
  /// How long a client may be silent. One that is alive answers the server's pings, three in this
  /// time.
  public var idleTime = TimeAmount.seconds(60)
  /// How long a client may take to read an answer.
  public var writeTime = TimeAmount.seconds(30)
  /// How long a client may take to answer the server's goodbye.
  public var closeTime = TimeAmount.seconds(2)

  /// Files in PEM form.
  public struct TLSFiles: Sendable {
    /// The certificate, and those that it was signed with.
    public var certificate: String
    /// The private key.
    public var key: String

    /// The given files.
    public init(certificate: String, key: String) {
      self.certificate = certificate
      self.key = key
    }
  }

  /// The configuration of a server for this machine alone, at openpi's port.
  public init() {}
}
