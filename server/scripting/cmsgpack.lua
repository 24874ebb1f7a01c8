return function(parts) return {} end
