/// T1, as the configuration counts cores.
var ownCore: UInt32 { 2 }
