module demorl/tools/crds

go 1.26.0

// Nothing is built of these: the custom resource definitions in their trees are what kubeconform and the API server judge by.
require (
	github.com/cert-manager/cert-manager v1.18.2
	github.com/kedacore/keda/v2 v2.17.2
	github.com/prometheus-operator/prometheus-operator v0.84.0
	sigs.k8s.io/gateway-api v1.3.0
)
