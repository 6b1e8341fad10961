// Program policy runs MutatingAdmissionPolicies with the admission plugin of the API server
// (k8s.io/apiserver/pkg/admission/plugin/policy/mutating) on pods, without a server.
//
// It reads one JSON document from stdin: a list of worlds.  A world has objects (policies, bindings,
// namespaces, ConfigMaps) and steps: a pod that is created, or an object that is deleted.  It prints
// a list of results for each world: the pod after admission, or an error.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/initializer"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/apiserver/pkg/util/compatibility"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/discovery"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/openapi"
	"k8s.io/client-go/openapi/openapitest"
)

// The patience for an informer to notice a change.
const patience = 10 * time.Second

type world struct {
	// Version of Kubernetes whose CEL a new policy may use.
	Version string            `json:"version"`
	Objects []json.RawMessage `json:"objects"`
	Steps   []step            `json:"steps"`
}

type step struct {
	// Pod to create; Sidecar is a container that a later admission plugin adds.
	Pod     *corev1.Pod       `json:"pod,omitempty"`
	Sidecar *corev1.Container `json:"sidecar,omitempty"`
	// Delete is the NAMESPACE/NAME of a ConfigMap; Until is the pod that has to stay unchanged afterwards.
	Delete []string    `json:"delete,omitempty"`
	Until  *corev1.Pod `json:"until,omitempty"`
}

type result struct {
	Pod   *corev1.Pod `json:"pod,omitempty"`
	Error string      `json:"error,omitempty"`
}

// client is the fake client with the schemas of the real API.
type client struct{ kubernetes.Interface }

func (c client) Discovery() discovery.DiscoveryInterface {
	return schemas{c.Interface.Discovery()}
}

type schemas struct{ discovery.DiscoveryInterface }

func (schemas) OpenAPIV3() openapi.Client { return openapitest.NewEmbeddedFileClient() }

type allowAll struct{}

func (allowAll) Authorize(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) {
	return authorizer.DecisionAllow, "", nil
}

// injector adds a container to a pod, as a service mesh does, once.
type injector struct {
	*admission.Handler
	container *corev1.Container
}

func (i *injector) Admit(_ context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	if i.container != nil {
		pod := a.GetObject().(*corev1.Pod)
		pod.Spec.Containers = append(pod.Spec.Containers, *i.container)
		i.container = nil
	}
	return nil
}

func main() {
	var worlds []world
	decoder := json.NewDecoder(os.Stdin)
	decoder.DisallowUnknownFields()
	check(decoder.Decode(&worlds))
	results := make([][]result, 0, len(worlds))
	for _, w := range worlds {
		results = append(results, run(w))
	}
	check(json.NewEncoder(os.Stdout).Encode(results))
}

func run(w world) []result {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var objects []runtime.Object
	for _, raw := range w.Objects {
		object, _, err := scheme.Codecs.UniversalDeserializer().Decode(raw, nil, nil)
		check(err)
		if policy, ok := object.(*admissionregistrationv1.MutatingAdmissionPolicy); ok {
			compile(policy, w.Version)
			setDefaults(policy.Spec.MatchConstraints)
			// With Ignore, which the policy has, errors would be silent.
			failurePolicy := admissionregistrationv1.Fail
			policy.Spec.FailurePolicy = &failurePolicy
		}
		if binding, ok := object.(*admissionregistrationv1.MutatingAdmissionPolicyBinding); ok && binding.Spec.MatchResources != nil {
			setDefaults(binding.Spec.MatchResources)
		}
		objects = append(objects, object)
	}
	native := fake.NewSimpleClientset(objects...)
	plugin := start(ctx, native)
	results := []result{}
	for _, s := range w.Steps {
		switch {
		case s.Pod != nil:
			results = append(results, admit(ctx, plugin, s.Pod, s.Sidecar))
		case s.Delete != nil:
			check(native.CoreV1().ConfigMaps(s.Delete[0]).Delete(ctx, s.Delete[1], metav1.DeleteOptions{}))
			until(ctx, plugin, s.Until, false)
		default: // wait until the policies are in force
			until(ctx, plugin, s.Until, true)
		}
	}
	return results
}

// start returns the plugin as the API server initialises it.
func start(ctx context.Context, native kubernetes.Interface) *mutating.Plugin {
	plugin, err := mutating.NewPlugin(nil)
	check(err)
	factory := informers.NewSharedInformerFactory(native, 30*time.Second)
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{corev1.SchemeGroupVersion})
	mapper.Add(corev1.SchemeGroupVersion.WithKind("ConfigMap"), meta.RESTScopeNamespace)
	initializer.New(client{native}, dynamicfake.NewSimpleDynamicClient(scheme.Scheme), factory, allowAll{},
		utilfeature.DefaultFeatureGate, compatibility.DefaultBuildEffectiveVersion(), ctx.Done(), mapper).Initialize(plugin)
	plugin.SetRESTMapper(mapper)
	check(plugin.ValidateInitialization())
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	return plugin
}

// setDefaults does what the API server does when it stores a policy or a binding
// (k8s.io/kubernetes/pkg/apis/admissionregistration/v1/defaults.go).
func setDefaults(r *admissionregistrationv1.MatchResources) {
	if r.MatchPolicy == nil {
		equivalent := admissionregistrationv1.Equivalent
		r.MatchPolicy = &equivalent
	}
	if r.NamespaceSelector == nil {
		r.NamespaceSelector = &metav1.LabelSelector{}
	}
	if r.ObjectSelector == nil {
		r.ObjectSelector = &metav1.LabelSelector{}
	}
}

// until waits until a pod is changed, or no longer changed: informers follow a change of an object.
func until(ctx context.Context, plugin *mutating.Plugin, pod *corev1.Pod, changed bool) {
	deadline := time.Now().Add(patience)
	for {
		r := admit(ctx, plugin, pod, nil)
		is := r.Error == "" && text(r.Pod.Spec) != text(pod.Spec)
		if is == changed {
			return
		}
		if time.Now().After(deadline) {
			check(fmt.Errorf("after %s the pod is changed: %v (expected: %v); error: %q", patience, is, changed, r.Error))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func admit(ctx context.Context, plugin *mutating.Plugin, pod *corev1.Pod, sidecar *corev1.Container) result {
	pod = pod.DeepCopy()
	gvk := corev1.SchemeGroupVersion.WithKind("Pod")
	pod.SetGroupVersionKind(gvk)
	attributes := admission.NewAttributesRecord(pod, nil, gvk, pod.Namespace, pod.Name,
		corev1.SchemeGroupVersion.WithResource("pods"), "", admission.Create, &metav1.CreateOptions{}, false,
		&user.DefaultInfo{Name: "test"})
	chain := []admission.MutationInterface{
		plugin,
		&injector{admission.NewHandler(admission.Create), sidecar},
	}
	interfaces := admission.NewObjectInterfacesFromScheme(scheme.Scheme)
	if err := twice(ctx, chain, attributes, interfaces); err != nil {
		return result{Error: err.Error()}
	}
	return result{Pod: attributes.GetObject().(*corev1.Pod)}
}

// twice calls all plugins, and once more if one of them asks for it, as the API server does
// (k8s.io/apiserver/pkg/admission/reinvocation.go, which exports nothing).
func twice(ctx context.Context, chain []admission.MutationInterface, a admission.Attributes, o admission.ObjectInterfaces) error {
	for round := 0; round < 2; round++ {
		for _, plugin := range chain {
			if err := plugin.Admit(ctx, a, o); err != nil {
				return err
			}
		}
		if !a.GetReinvocationContext().ShouldReinvoke() {
			return nil
		}
		a.GetReinvocationContext().SetIsReinvoke()
	}
	return nil
}

// compile ends the program if an API server of this version would refuse an expression of a new policy.
func compile(policy *admissionregistrationv1.MutatingAdmissionPolicy, of string) {
	options := plugincel.OptionalVariableDeclarations{HasParams: policy.Spec.ParamKind != nil, HasAuthorizer: true}
	compiler, err := plugincel.NewCompositedCompiler(environment.MustBaseEnvSet(version.MustParseGeneric(of)))
	check(err)
	accept := func(what string, accessor plugincel.ExpressionAccessor, o plugincel.OptionalVariableDeclarations) {
		if r := compiler.CompileCELExpression(accessor, o, environment.NewExpressions); r.Error != nil {
			check(fmt.Errorf("%s: %s: %w", policy.Name, what, r.Error))
		}
	}
	for _, v := range policy.Spec.Variables {
		r := compiler.CompileAndStoreVariable(&mutating.Variable{Name: v.Name, Expression: v.Expression}, options, environment.NewExpressions)
		if r.Error != nil {
			check(fmt.Errorf("%s: %s: %w", policy.Name, v.Name, r.Error))
		}
	}
	for i := range policy.Spec.MatchConditions {
		condition := matchconditions.MatchCondition(policy.Spec.MatchConditions[i])
		accept(condition.Name, &condition, options)
	}
	options.HasPatchTypes = true
	for _, m := range policy.Spec.Mutations {
		accept("mutation", &patch.JSONPatchCondition{Expression: m.JSONPatch.Expression}, options)
	}
}

func text(v any) string {
	b, err := json.Marshal(v)
	check(err)
	return string(b)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "policy:", err)
		os.Exit(1)
	}
}
