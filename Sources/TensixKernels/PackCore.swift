/// T2, as the configuration counts cores.
var ownCore: UInt32 { 3 }
